/*
 * hpo.h: libhpo, a crash-safe store for hyperparameter searches.
 * (The calls follow below; this file is being written by the lead.)
 */
#ifndef HPO_H
#define HPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Results: 0 success, negative one of these, positive an ordinary outcome (enum hpo_outcome).
 * Unless a line says otherwise, a call that failed has changed nothing.
 */
enum hpo_error {
    HPO_OK = 0,
    HPO_NOMEM = -1,         /* memory; retry later */
    HPO_INVALID = -2,       /* an argument cannot be right; the message says which */
    HPO_NOT_FOUND = -3,     /* no such store, study, trial, parameter, attribute */
    HPO_EXISTS = -4,        /* the name is taken */
    HPO_IO = -5,            /* the system failed to read or write; errno in the detail */
    HPO_NOSPACE = -6,       /* disk or quota full; running trials may still be told */
    HPO_PERMISSION = -7,    /* may not read or write here; read-only file system */
    HPO_CORRUPT = -8,       /* durable data is damaged: file, offset, LSN in the detail; run hpo-fsck */
    HPO_UNSUPPORTED = -9,   /* made by a newer version, or needs a feature that this build lacks */
    HPO_READONLY = -10,     /* the handle was opened for reading */
    HPO_BUSY = -11,         /* somebody holds it and waiting was not wanted */
    HPO_NOT_WRITTEN = -12,  /* a flush failed; the trial is as before the call: call again */
    HPO_UNKNOWN = -13,      /* it cannot be told whether it is durable; the handle is read-only, reopening tells */
    HPO_FORKED = -14,       /* the handle belongs to the parent process: open your own */
    HPO_SESSION_LOST = -15, /* another process found this session dead and rolled its trials back */
    HPO_FINISHED = -16,     /* the trial is finished and cannot change */
    HPO_INCOMPATIBLE = -17, /* the parameter was used with another kind of distribution; changed space or math */
    HPO_TOO_LARGE = -18,    /* over a size limit */
    HPO_NETWORK_FS = -19,   /* network file systems are refused */
    HPO_ROLLED_BACK = -20,  /* the trial's attempt was rolled back */
};

enum hpo_outcome {
    HPO_NO_MORE = 1, /* all trials asked for are finished; a cursor is at its end */
    HPO_WAIT = 2,    /* others are at work on the last trials: wait, one may come back */
};

#ifdef __cplusplus
}
#endif
#endif
