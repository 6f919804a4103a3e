/*
 * store_call: the way in and out of every public call.
 *
 * Whoever finds a fault writes the calling thread's detail (error_here). A call begins by making it
 * empty and tagging it with the handle, so that hpo_error_detail of another handle shows nothing.
 * The number of calls under way lets hpo_close wait for threads that are still at the disk.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local uint64_t detail_serial; /* the handle that error_here() speaks of */

static void detail_clear(uint64_t serial)
{
    struct error_detail *detail = error_here();

    detail_serial = serial;
    detail->code = 0;
    detail->system_errno = 0;
    detail->lsn = 0;
    detail->offset = 0;
    detail->path[0] = '\0';
    detail->message[0] = '\0';
}

/* Every failing call has a detail, if only the code's own line. */
static void detail_complete(int result)
{
    struct error_detail *detail = error_here();

    if (detail->code != result)
        error_set(detail, result, 0, NULL, 0, 0, "%s", hpo_strerror(result));
}

/* Count down. Once that is done hpo_close may free the store, so the same step tells whether it is
 * waiting, and waking it needs the word's address only. */
static void users_leave(struct hpo_store *store)
{
    const struct hpo_os *os = store->os;
    _Atomic uint32_t *users = &store->users;

    if (atomic_fetch_sub(users, 1) == (STORE_CLOSING | 1))
        os->futex_wake(os->self, users);
}

int call_begin(struct hpo_store *store)
{
    detail_clear(store->serial);
    if (store->os->generation(store->os->self) != store->generation)
        return call_error(HPO_FORKED, "the handle belongs to the parent process: open your own");
    atomic_fetch_add(&store->users, 1);
    store->os->mutex_lock(store->os->self, store->mutex);
    return 0;
}

int call_end(struct hpo_store *store, int result)
{
    store->os->mutex_unlock(store->os->self, store->mutex);
    if (result < 0)
        detail_complete(result);
    users_leave(store);
    return result;
}

int call_refuse(struct hpo_store *store, int code, const char *format, ...)
{
    struct error_detail *detail = error_here();
    va_list arguments;

    detail_clear(store->serial);
    va_start(arguments, format);
    (void)vsnprintf(detail->message, sizeof(detail->message), format, arguments);
    va_end(arguments);
    detail->code = code;
    return code;
}

int call_error(int code, const char *format, ...)
{
    struct error_detail *detail = error_here();
    va_list arguments;

    detail->code = code;
    detail->system_errno = 0;
    detail->lsn = 0;
    detail->offset = 0;
    detail->path[0] = '\0';
    va_start(arguments, format);
    (void)vsnprintf(detail->message, sizeof(detail->message), format, arguments);
    va_end(arguments);
    return code;
}

int call_wait(struct hpo_store *store, const struct log_ticket *ticket)
{
    int err;

    store->os->mutex_unlock(store->os->self, store->mutex);
    err = log_wait(store->log, ticket);
    store->os->mutex_lock(store->os->self, store->mutex);
    return err;
}

struct record_time store_now(const struct hpo_store *store)
{
    return (struct record_time){.us = store->os->clock_real(store->os->self), .kind = 0};
}

static void detail_out(const struct error_detail *detail, struct hpo_error_detail *out)
{
    out->code = detail->code;
    out->system_errno = detail->system_errno;
    out->lsn = detail->lsn;
    out->offset = detail->offset;
    memcpy(out->path, detail->path, sizeof(out->path));
    memcpy(out->message, detail->message, sizeof(out->message));
}

void hpo_error_detail(struct hpo_store *store, struct hpo_error_detail *out)
{
    memset(out, 0, sizeof(*out));
    if (store && detail_serial == store->serial && error_here()->code != 0)
        detail_out(error_here(), out);
}

/* hpo_open has no handle to ask afterwards; calls on other handles must not wipe out its reason. */
static _Thread_local struct error_detail open_detail;

void store_open_begin(void)
{
    detail_clear(0);
    memset(&open_detail, 0, sizeof(open_detail));
}

int store_open_failed(int result)
{
    detail_complete(result);
    open_detail = *error_here();
    return result;
}

void hpo_open_error(struct hpo_error_detail *out)
{
    memset(out, 0, sizeof(*out));
    if (open_detail.code != 0)
        detail_out(&open_detail, out);
}
