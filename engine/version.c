/*
 * version: what this build is called, and its codes in words.
 */
#include "hpo.h"

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

const char *hpo_version(void)
{
    return STRING(HPO_VERSION_MAJOR) "." STRING(HPO_VERSION_MINOR) "." STRING(HPO_VERSION_PATCH);
}

const char *hpo_strerror(int code)
{
    switch (code) {
    case HPO_OK:
        return "done";
    case HPO_NOMEM:
        return "out of memory";
    case HPO_INVALID:
        return "invalid argument";
    case HPO_NOT_FOUND:
        return "not found";
    case HPO_EXISTS:
        return "the name is taken";
    case HPO_IO:
        return "input or output error";
    case HPO_NOSPACE:
        return "no space left: running trials may be finished, no new ones begun";
    case HPO_PERMISSION:
        return "no permission, or a read-only file system";
    case HPO_CORRUPT:
        return "the store is damaged: run hpo-fsck";
    case HPO_UNSUPPORTED:
        return "made by a newer version, or needs a feature that this build lacks";
    case HPO_READONLY:
        return "the handle was opened for reading";
    case HPO_BUSY:
        return "somebody else is at work on it";
    case HPO_NOT_WRITTEN:
        return "a flush failed and nothing was written: call again";
    case HPO_UNKNOWN:
        return "nobody can tell whether it was written: open the store again";
    case HPO_FORKED:
        return "the handle belongs to the parent process: open your own";
    case HPO_SESSION_LOST:
        return "another process found this session dead and rolled its trials back";
    case HPO_FINISHED:
        return "the trial is finished";
    case HPO_INCOMPATIBLE:
        return "not compatible with what the study has recorded";
    case HPO_TOO_LARGE:
        return "over a size limit";
    case HPO_NETWORK_FS:
        return "network file systems are refused";
    case HPO_ROLLED_BACK:
        return "this attempt of the trial was rolled back";
    case HPO_NO_MORE:
        return "no more";
    case HPO_WAIT:
        return "others are at work on the last trials: ask again later";
    default:
        return "unknown code";
    }
}
