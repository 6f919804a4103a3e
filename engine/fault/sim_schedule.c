/*
 * sim_schedule: who runs, who waits, who dies.
 *
 * Exactly one thread holds the baton: a thread of a process (`current`) or the driver, that is the
 * test's thread inside sim_run. A thread passes it on in three places only: at either end of a
 * step, when it waits, and when it ends. The decision is made by the thread that has the baton,
 * from the machine's own state and generator, so that the kernel's scheduler decides nothing.
 *
 * Death: the killer drops what the process owned and marks its threads. A marked thread that is
 * parked wakes, sees the mark and jumps to where it began without touching the machine; one that
 * holds the baton passes it on first. Its stack is given up with whatever the engine had on it; the
 * blocks were the process's and are gone.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEPS_MAX 200000
#define STACK_BYTES (1024 * 1024)
#define STOP_BRIEFLY_STEPS 64
#define NEVER INT64_MAX

/* ---- the baton ---- */

static void hand(_Atomic uint32_t *go)
{
    atomic_store_explicit(go, 1, memory_order_release);
    syscall(SYS_futex, go, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(_Atomic uint32_t *go)
{
    while (atomic_exchange_explicit(go, 0, memory_order_acquire) == 0)
        syscall(SYS_futex, go, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void park(struct sim_thread *thread)
{
    await(&thread->go);
    if (atomic_load_explicit(&thread->leave, memory_order_acquire))
        longjmp(thread->home, 1);
}

static void *thread_main(void *arg);

static void give_baton(struct sim *sim, struct sim_thread *to)
{
    pthread_attr_t attributes;

    sim->current = to;
    if (!to) {
        hand(&sim->driver_go);
    } else if (to->started) {
        hand(&to->go);
    } else {
        to->started = true;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (pthread_create(&to->pthread, &attributes, thread_main, to) != 0) {
            fputs("sim: no thread\n", stderr);
            abort();
        }
        pthread_attr_destroy(&attributes);
    }
}

/* ---- who may run ---- */

bool sim_lock_conflicts(const struct sim_inode *inode, const struct os_file *file, uint64_t byte,
                        enum os_lock_kind kind)
{
    for (unsigned i = 0; i < inode->locks_count; i++) {
        const struct sim_lock *lock = &inode->locks[i];

        if (lock->byte == byte && lock->holder != file &&
            (kind == OS_LOCK_EXCLUSIVE || lock->kind == OS_LOCK_EXCLUSIVE))
            return true;
    }
    return false;
}

static bool wait_is_over(const struct sim_thread *thread)
{
    if (thread->timed_out || thread->woken)
        return true;
    switch (thread->wait) {
    case SIM_WAIT_NONE:
        return true;
    case SIM_WAIT_LOCK:
        return !sim_lock_conflicts(thread->wait_file->inode, thread->wait_file, thread->wait_byte,
                                   thread->wait_kind);
    case SIM_WAIT_MUTEX:
        return !thread->wait_mutex->holder;
    case SIM_WAIT_FUTEX:
    case SIM_WAIT_TIME:
        break;
    }
    return false;
}

static bool may_run(const struct sim_thread *thread)
{
    return thread->state == SIM_READY && !thread->process->stopped && wait_is_over(thread);
}

static void resume_stopped(struct sim *sim, bool idle)
{
    for (unsigned i = 0; i < sim->process_count; i++) {
        struct sim_process *process = sim->processes[i];

        if (process->stopped && sim->time >= process->resume_time &&
            (idle || sim->steps >= process->resume_step))
            process->stopped = false;
    }
}

/* Time passes: to the next moment that somebody waits for. False if there is none. */
static bool advance_time(struct sim *sim)
{
    int64_t next = NEVER;

    for (unsigned i = 0; i < sim->thread_count; i++) {
        const struct sim_thread *thread = sim->threads[i];

        if (thread->state == SIM_READY && !thread->process->stopped &&
            thread->wait != SIM_WAIT_NONE && thread->timed && thread->deadline < next)
            next = thread->deadline;
    }
    for (unsigned i = 0; i < sim->process_count; i++)
        if (sim->processes[i]->stopped && sim->processes[i]->resume_time < next)
            next = sim->processes[i]->resume_time;
    if (next == NEVER)
        return false;
    if (next > sim->time)
        sim->time = next;
    for (unsigned i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = sim->threads[i];

        if (thread->state == SIM_READY && thread->wait != SIM_WAIT_NONE && thread->timed &&
            thread->deadline <= sim->time)
            thread->timed_out = true;
    }
    resume_stopped(sim, true);
    return true;
}

/* The next thread to run, chosen evenly; NULL if nobody ever can. */
static struct sim_thread *pick(struct sim *sim)
{
    do {
        struct sim_thread *ready[SIM_THREADS_MAX];
        unsigned count = 0;

        resume_stopped(sim, false);
        for (unsigned i = 0; i < sim->thread_count; i++)
            if (may_run(sim->threads[i]))
                ready[count++] = sim->threads[i];
        if (count > 0)
            return ready[count == 1 || !sim->options.seed ? 0 : sim_random(sim) % count];
    } while (advance_time(sim));
    return NULL;
}

static bool all_ended(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->thread_count; i++)
        if (sim->threads[i]->state != SIM_ENDED)
            return false;
    return true;
}

static void note_outcome(struct sim *sim)
{
    if (sim->outcome == SIM_DONE && !all_ended(sim))
        sim->outcome = SIM_DEADLOCK;
}

/* The run ends here for everybody, and for this process for good. The other threads stay parked
 * until the machine is freed. */
static _Noreturn void end_run(struct sim *sim)
{
    struct sim_thread *me = sim->current;

    sim_kill(me->process);
    if (!me->on_caller)
        give_baton(sim, NULL);
    longjmp(me->home, 1);
}

/* Go on with `next`, and come back when somebody hands the baton back. */
static void switch_to(struct sim *sim, struct sim_thread *next)
{
    struct sim_thread *me = sim->current;

    if (next == me)
        return;
    if (!next) {
        note_outcome(sim);
        if (me->on_caller)
            end_run(sim);
    }
    give_baton(sim, next);
    park(me);
}

void sim_yield(struct sim *sim)
{
    if (sim->options.seed && sim->thread_count > 1 && sim_random(sim) % sim->switch_one_in == 0)
        switch_to(sim, pick(sim));
}

void sim_block(struct sim *sim)
{
    struct sim_thread *me = sim->current;

    me->woken = me->timed_out = false;
    switch_to(sim, pick(sim));
    me->wait = SIM_WAIT_NONE;
    me->timed = false;
}

/* ---- threads ---- */

static struct sim_thread *thread_new(struct sim_process *process, sim_fn fn, void *arg)
{
    struct sim *sim = process->sim;
    struct sim_thread *thread = NULL;

    assert(!process->dead);
    /* sim_call may be used many times on one machine: take over the place of an ended thread that
     * left nothing. */
    for (unsigned i = 0; i < sim->thread_count && !thread; i++)
        if (sim->threads[i]->state == SIM_ENDED && sim->threads[i]->joined)
            thread = sim->threads[i];
    if (thread) {
        unsigned index = thread->index;

        memset(thread, 0, sizeof(*thread));
        thread->index = index;
    } else {
        assert(sim->thread_count < SIM_THREADS_MAX);
        thread = sim_must_alloc(sizeof(*thread));
        thread->index = sim->thread_count;
        sim->threads[sim->thread_count++] = thread;
    }
    thread->process = process;
    thread->fn = fn;
    thread->arg = arg;
    process->threads_alive++;
    return thread;
}

/* What the process owned goes, as the kernel does it at the end of a process. */
static void drop_possessions(struct sim_process *process)
{
    while (process->files)
        sim_file_drop(process->files);
    while (process->dirs) {
        struct os_dir *dir = process->dirs;

        process->dirs = dir->next;
        free(dir);
    }
    while (process->mutexes) {
        struct os_mutex *mutex = process->mutexes;

        process->mutexes = mutex->next;
        free(mutex);
    }
    while (process->blocks) {
        struct sim_block *block = process->blocks;

        process->blocks = block->next;
        free(block);
    }
    sim_loans_drop(process);
}

static void count_leaks(struct sim_process *process)
{
    struct sim *sim = process->sim;

    for (struct os_file *file = process->files; file; file = file->next)
        sim->leaks++;
    for (struct os_dir *dir = process->dirs; dir; dir = dir->next)
        sim->leaks++;
    for (struct os_mutex *mutex = process->mutexes; mutex; mutex = mutex->next)
        sim->leaks++;
    for (struct sim_block *block = process->blocks; block; block = block->next)
        sim->leaks++;
    for (struct sim_loan *loan = process->loans; loan; loan = loan->next)
        sim->leaks++;
}

/* The thread's function has returned. With the last one the process is over. */
static void thread_ended(struct sim_thread *thread)
{
    struct sim_process *process = thread->process;

    thread->state = SIM_ENDED;
    if (--process->threads_alive == 0) {
        count_leaks(process);
        drop_possessions(process);
        process->dead = true;
    }
}

static void *thread_main(void *arg)
{
    struct sim_thread *thread = arg;
    struct sim *sim = thread->process->sim;

    if (setjmp(thread->home) == 0) {
        struct sim_thread *next;

        thread->fn(thread->process, thread->arg);
        thread_ended(thread);
        next = pick(sim);
        if (!next)
            note_outcome(sim);
        give_baton(sim, next);
    }
    return NULL;
}

void sim_spawn(struct sim_process *process, sim_fn fn, void *arg)
{
    thread_new(process, fn, arg);
}

static void join_ended(struct sim *sim)
{
    for (unsigned i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = sim->threads[i];

        if (thread->state == SIM_ENDED && !thread->joined) {
            if (thread->started)
                pthread_join(thread->pthread, NULL);
            thread->joined = true;
        }
    }
}

enum sim_outcome sim_run(struct sim *sim)
{
    struct sim_thread *next;

    assert(!sim->current);
    sim->outcome = SIM_DONE;
    next = pick(sim);
    if (next) {
        give_baton(sim, next);
        await(&sim->driver_go);
    } else {
        note_outcome(sim);
    }
    join_ended(sim);
    return sim->outcome;
}

enum sim_outcome sim_call(struct sim_process *process, sim_fn fn, void *arg)
{
    struct sim *sim = process->sim;
    struct sim_thread *volatile thread;

    assert(!sim->current);
    thread = thread_new(process, fn, arg);
    thread->on_caller = thread->started = thread->joined = true;
    sim->outcome = SIM_DONE;
    sim->current = thread;
    if (setjmp(thread->home) == 0) {
        fn(process, arg);
        thread_ended(thread);
    }
    sim->current = NULL;
    return sim->outcome;
}

/* ---- death ---- */

void sim_kill(struct sim_process *process)
{
    struct sim *sim = process->sim;

    if (process->dead)
        return;
    process->dead = true;
    process->stopped = false;
    process->threads_alive = 0;
    for (unsigned i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = sim->threads[i];

        if (thread->process != process || thread->state == SIM_ENDED)
            continue;
        thread->state = SIM_ENDED;
        /* A flush goes on in the kernel, or the machine dies before it is through: both happen. */
        if (thread->flushing && sim_random(sim) % 2)
            sim_inode_flushed(thread->flushing, thread->flush_begin);
        thread->flushing = NULL;
        if (thread != sim->current && thread->started && !thread->on_caller) {
            atomic_store_explicit(&thread->leave, 1, memory_order_release);
            hand(&thread->go);
        }
    }
    drop_possessions(process);
}

_Noreturn void sim_die(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct sim_thread *me = sim->current;

    assert(me->process == process);
    sim_kill(process);
    if (!me->on_caller) {
        struct sim_thread *next = pick(sim);

        if (!next)
            note_outcome(sim);
        give_baton(sim, next);
    }
    longjmp(me->home, 1);
}

_Noreturn void sim_fail(struct sim_process *process, const char *format, ...)
{
    struct sim *sim = process->sim;
    va_list args;

    va_start(args, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    sim->outcome = SIM_FAILED;
    end_run(sim);
}

/* ---- steps ---- */

static void note_step(struct sim *sim, const struct sim_process *process, enum sim_op op)
{
    if (sim->steps == sim->log_room) {
        sim->log_room = sim->log_room ? 2 * sim->log_room : 256;
        sim->log = realloc(sim->log, sim->log_room * sizeof(*sim->log));
        if (!sim->log) {
            fputs("sim: out of memory\n", stderr);
            abort();
        }
    }
    sim->log[sim->steps++] = (struct sim_step){
        .op = (uint8_t)op, .process = (uint8_t)process->number, .effects = (uint32_t)sim->effects};
    sim->counts[op]++;
}

static void stop(struct sim_process *process, bool briefly)
{
    struct sim *sim = process->sim;

    process->stopped = true;
    process->resume_step = briefly ? sim->steps + 1 + sim_random(sim) % STOP_BRIEFLY_STEPS : 0;
    process->resume_time = briefly ? sim->time : sim->time + SIM_STOP_LONG_US;
}

/* The event of this step, as it concerns a process that is not the one taking it. */
static void happen_to_other(struct sim_process *victim, enum sim_event_kind kind)
{
    switch (kind) {
    case SIM_KILL_BEFORE:
    case SIM_KILL_AFTER:
    case SIM_KILL_WITHIN:
        sim_kill(victim);
        break;
    case SIM_STOP_BRIEFLY:
    case SIM_STOP_LONG:
        stop(victim, kind == SIM_STOP_BRIEFLY);
        break;
    case SIM_NOTHING:
    case SIM_FAIL_CALL:
        break;
    }
}

static int happen(struct sim_process *process, enum sim_op op, bool *within)
{
    struct sim *sim = process->sim;
    const struct sim_event *event = &sim->options.event;

    if (event->victim && event->victim != process->number) {
        if (event->victim <= sim->process_count && !sim->processes[event->victim - 1]->dead)
            happen_to_other(sim->processes[event->victim - 1], event->kind);
        return 0;
    }
    switch (event->kind) {
    case SIM_NOTHING:
        break;
    case SIM_KILL_AFTER:
        sim->die_after = sim->current;
        break;
    case SIM_KILL_WITHIN:
        if (within &&
            (op == SIM_PWRITE || op == SIM_SYNC_DATA || op == SIM_SYNC_ALL || op == SIM_DIR_SYNC)) {
            *within = true;
            break;
        }
        sim_die(process);
    case SIM_KILL_BEFORE:
        sim_die(process);
    case SIM_STOP_BRIEFLY:
    case SIM_STOP_LONG:
        stop(process, event->kind == SIM_STOP_BRIEFLY);
        switch_to(sim, pick(sim));
        break;
    case SIM_FAIL_CALL:
        return -event->error;
    }
    return 0;
}

int sim_step_begin(struct sim_process *process, enum sim_op op, uint64_t detail, bool *within)
{
    struct sim *sim = process->sim;

    assert(sim->current && sim->current->process == process);
    if (within)
        *within = false;
    sim_yield(sim);
    note_step(sim, process, op);
    sim->trace = sim_mix(sim->trace, (uint64_t)op << 32 | sim->current->index);
    sim->trace = sim_mix(sim->trace, detail);
    if (sim->steps > (sim->options.steps_max ? sim->options.steps_max : STEPS_MAX)) {
        sim->outcome = SIM_LIMIT;
        end_run(sim);
    }
    return sim->steps == sim->options.event.step ? happen(process, op, within) : 0;
}

int64_t sim_step_end(struct sim_process *process, int64_t result)
{
    struct sim *sim = process->sim;

    sim->trace = sim_mix(sim->trace, (uint64_t)result);
    if (sim->die_after == sim->current) {
        sim->die_after = NULL;
        sim_die(process);
    }
    sim_yield(sim); /* others may come between the result and what is done about it */
    return result;
}

/* ---- the machine ---- */

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *sim = sim_must_alloc(sizeof(*sim));

    if (options)
        sim->options = *options;
    sim->random = sim_mix(sim->options.seed, 2);
    sim->switch_one_in = 1u << (sim->options.seed % 5);
    sim->root = sim_inode_new(sim, true, OS_ROLE_OTHER);
    sim->time = 1000000;
    return sim;
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    assert(!sim->current);
    for (unsigned i = 0; i < sim->process_count; i++)
        sim_kill(sim->processes[i]);
    join_ended(sim);
    for (unsigned i = 0; i < sim->thread_count; i++)
        free(sim->threads[i]);
    for (unsigned i = 0; i < sim->process_count; i++)
        free(sim->processes[i]);
    while (sim->inodes) {
        struct sim_inode *inode = sim->inodes;

        sim->inodes = inode->next;
        sim_inode_free(inode);
    }
    free(sim->names);
    free(sim->log);
    sim_arena_free(sim);
    free(sim);
}

struct sim_process *sim_process_new(struct sim *sim)
{
    struct sim_process *process = sim_must_alloc(sizeof(*process));

    assert(sim->process_count < SIM_PROCESSES_MAX);
    process->sim = sim;
    sim->processes[sim->process_count++] = process;
    process->number = sim->process_count;
    /* Not from the seed: the same bytes under every schedule, so that equal images are seen to be
     * equal. */
    process->entropy = sim_mix(sim->boots, process->number);
    sim_table_fill(process);
    return process;
}

const struct hpo_os *sim_os(struct sim_process *process)
{
    return &process->table;
}

unsigned sim_process_number(const struct sim_process *process)
{
    return process->number;
}

bool sim_process_dead(const struct sim_process *process)
{
    return process->dead;
}

const char *sim_failure(const struct sim *sim)
{
    return sim->failure;
}

uint64_t sim_steps(const struct sim *sim)
{
    return sim->steps;
}

uint64_t sim_effects(const struct sim *sim)
{
    return sim->effects;
}

uint64_t sim_trace(const struct sim *sim)
{
    return sim->trace;
}

enum sim_op sim_step_op(const struct sim *sim, uint64_t step)
{
    assert(step >= 1 && step <= sim->steps);
    return (enum sim_op)sim->log[step - 1].op;
}

unsigned sim_step_process(const struct sim *sim, uint64_t step)
{
    assert(step >= 1 && step <= sim->steps);
    return sim->log[step - 1].process;
}

uint64_t sim_step_effects(const struct sim *sim, uint64_t step)
{
    assert(step >= 1 && step <= sim->steps);
    return sim->log[step - 1].effects;
}

uint64_t sim_count(const struct sim *sim, enum sim_op op)
{
    return sim->counts[op];
}

uint64_t sim_leaks(const struct sim *sim)
{
    return sim->leaks;
}

uint64_t sim_timeouts(const struct sim *sim)
{
    return sim->timeouts;
}

const char *sim_op_name(enum sim_op op)
{
    static const char names[][12] = {
        [SIM_OPEN] = "open",
        [SIM_CLOSE] = "close",
        [SIM_PREAD] = "pread",
        [SIM_PWRITE] = "pwrite",
        [SIM_SYNC_DATA] = "sync_data",
        [SIM_SYNC_ALL] = "sync_all",
        [SIM_SIZE] = "size",
        [SIM_RESIZE] = "resize",
        [SIM_PUNCH] = "punch",
        [SIM_DIR_OPEN] = "dir_open",
        [SIM_DIR_CREATE] = "dir_create",
        [SIM_DIR_LIST] = "dir_list",
        [SIM_DIR_SYNC] = "dir_sync",
        [SIM_RENAME] = "rename",
        [SIM_LINK] = "link",
        [SIM_UNLINK] = "unlink",
        [SIM_LOCK] = "lock",
        [SIM_LOCK_TEST] = "lock_test",
        [SIM_SHM_MAP] = "shm_map",
        [SIM_FUTEX_WAIT] = "futex_wait",
        [SIM_FUTEX_WAKE] = "futex_wake",
        [SIM_MUTEX_LOCK] = "lock_mutex",
        [SIM_MUTEX_UNLOCK] = "free_mutex",
        [SIM_SLEEP] = "sleep",
        [SIM_BORROW] = "borrow",
        [SIM_GIVE_BACK] = "give_back",
        [SIM_POINT] = "point",
    };

    return op < SIM_OP_COUNT ? names[op] : "?";
}
