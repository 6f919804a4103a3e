/*
 * error: where and why a call failed, beyond its code.
 *
 * Whoever finds the fault fills the detail; the public call copies it to the store's handle, where
 * hpo_error_detail reads it. The library prints nothing.
 */
#ifndef HPO_ENGINE_ERROR_H
#define HPO_ENGINE_ERROR_H

#include <stdint.h>
#include "hpo.h"

struct error_detail {
    int code;          /* enum hpo_error */
    int system_errno;  /* positive errno, 0 if no call failed */
    uint64_t lsn;      /* batch concerned, 0 if none */
    uint64_t offset;   /* place in the file, when path is set */
    char path[256];    /* file concerned, relative to the store where possible; empty if none */
    char message[256]; /* one line: what is wrong and what to do */
};

/* Fill `detail` (may be NULL) and return `code`, so that `return error_set(...)` reads well. */
int error_set(struct error_detail *detail, int code, int system_errno, const char *path,
              uint64_t offset, uint64_t lsn, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* The enum hpo_error that a negative errno from the os table means: -ENOSPC and -EDQUOT and -EFBIG
 * HPO_NOSPACE, -EACCES and -EPERM HPO_PERMISSION, -EROFS HPO_PERMISSION, -ENOENT HPO_NOT_FOUND,
 * -ENOMEM HPO_NOMEM, else HPO_IO. */
int error_from_errno(int negative_errno);

/* The calling thread's own detail: where everything below the public calls puts it (a log is used
 * by many threads at once). The public calls clear it on entry and tag it with their store. */
struct error_detail *error_here(void);

#endif
