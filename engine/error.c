/*
 * error: see error.h.
 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error_detail *detail, int code, int system_errno, const char *path,
              uint64_t offset, uint64_t lsn, const char *format, ...)
{
    va_list arguments;

    if (!detail)
        return code;
    detail->code = code;
    detail->system_errno = system_errno;
    detail->lsn = lsn;
    detail->offset = offset;
    (void)snprintf(detail->path, sizeof(detail->path), "%s", path ? path : "");
    va_start(arguments, format);
    (void)vsnprintf(detail->message, sizeof(detail->message), format, arguments);
    va_end(arguments);
    return code;
}

int error_from_errno(int negative_errno)
{
    switch (-negative_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return HPO_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return HPO_PERMISSION;
    case ENOENT:
        return HPO_NOT_FOUND;
    case ENOMEM:
        return HPO_NOMEM;
    default:
        return HPO_IO;
    }
}

struct error_detail *error_here(void)
{
    static _Thread_local struct error_detail detail;

    return &detail;
}
