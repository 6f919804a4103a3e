/*
 * run_job: one attempt of a trial, from its directory to the status of its program.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/placeholder.h"
#include "tools/run.h"
#include "tools/spawn.h"

#define LINE_MAX_BYTES (1 << 20) /* of HPO_RESULT_FD */

/* -- what the program is given -- */

struct strings {
    char **list; /* NULL at its end */
    size_t count;
};

static void add_string(struct strings *strings, char *string)
{
    strings->list = memory_resize(strings->list, strings->count + 2, sizeof(strings->list[0]));
    strings->list[strings->count++] = string;
    strings->list[strings->count] = NULL;
}

static void release_strings(struct strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->list[i]);
    free(strings->list);
}

static const char *look_up(void *arg, const char *name, size_t size)
{
    const struct hpo_trial_info *info = arg;

    for (size_t i = 0; i < info->param_count; i++)
        if (strlen(info->params[i].name) == size && memcmp(info->params[i].name, name, size) == 0)
            return info->params[i].text;
    return NULL;
}

/* 0, or -1 with `why`. */
static int make_arguments(struct strings *argv, char *const *program,
                          const struct hpo_trial_info *info, struct text *why)
{
    for (; *program; program++) {
        struct text argument = {0};

        if (placeholder_expand(&argument, *program, look_up, (void *)info, why) < 0) {
            text_release(&argument);
            return -1;
        }
        add_string(argv, text_take(&argument));
    }
    return 0;
}

/* Ours, of this trial or of an outer `hpo run`. */
static bool own_variable(const char *entry)
{
    static const char *const names[] = {
        "HPO_TRIAL=", "HPO_TRIAL_DIR=", "HPO_SEED=", "HPO_RESULT_FD=", "HPO_PARAM_"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void __attribute__((format(printf, 2, 3)))
add_variable(struct strings *envp, const char *format, ...)
{
    struct text entry = {0};
    va_list args;

    va_start(args, format);
    text_vaddf(&entry, format, args);
    va_end(args);
    add_string(envp, text_take(&entry));
}

static void make_environment(struct strings *envp, const struct job *job,
                             const struct hpo_trial_info *info)
{
    for (char **entry = environ; *entry; entry++)
        if (!own_variable(*entry))
            add_string(envp, memory_copy(*entry));
    add_variable(envp, "HPO_TRIAL=%" PRIu64, job->number);
    add_variable(envp, "HPO_TRIAL_DIR=%s", job->directory);
    /* 31 of the 64 bits: srand, numpy and others take no more. */
    add_variable(envp, "HPO_SEED=%" PRIu64, hpo_trial_seed(job->trial) >> 33);
    add_variable(envp, "HPO_RESULT_FD=%d", SPAWN_RESULT_FD);
    for (size_t i = 0; i < info->param_count; i++) {
        struct text entry = {0};

        placeholder_variable(&entry, info->params[i].name);
        text_addf(&entry, "=%s", info->params[i].text);
        add_string(envp, text_take(&entry));
    }
}

static int open_output(const struct job *job, const char *name)
{
    struct text path = {0};
    int fd;

    text_addf(&path, "%s/%s", job->directory, name);
    fd = open(path.data, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    text_release(&path);
    return fd;
}

/* -- beginning -- */

/* 0, or -1 with `why`. */
static int make_directory(struct run *run, struct job *job, struct text *why)
{
    struct text path = {0};
    int err = workdir_make_trial(&run->workdir, job->number, &path);

    if (err < 0)
        return text_refuse(why, "cannot make %s/%" PRIu64 ": %s; see --work-dir", run->workdir.path,
                           job->number, strerror(-err));
    job->directory = text_take(&path);
    job->stdout_fd = open_output(job, "stdout.log");
    job->stderr_fd = job->stdout_fd < 0 ? -1 : open_output(job, "stderr.log");
    if (job->stderr_fd < 0)
        return text_refuse(why, "cannot write in %s: %s; see --work-dir", job->directory,
                           strerror(errno));
    return 0;
}

static int start_program(struct run *run, struct job *job, const struct hpo_trial_info *info,
                         struct text *why)
{
    struct strings argv = {0}, envp = {0};
    int channel[2], err = -1;

    if (make_arguments(&argv, run->options->program, info, why) < 0)
        goto release;
    make_environment(&envp, job, info);
    if (pipe2(channel, O_CLOEXEC) < 0) {
        text_refuse(why, "cannot make a pipe: %s", strerror(errno));
        goto release;
    }
    err = spawn_program(&(struct spawn){.argv = argv.list,
                                        .envp = envp.list,
                                        .stdout_fd = job->stdout_fd,
                                        .stderr_fd = job->stderr_fd,
                                        .result_fd = channel[1],
                                        .guardian = &run->guardian,
                                        .mask = &run->program_mask},
                        &job->pid);
    close(channel[1]);
    if (err < 0) {
        text_refuse(why, "cannot run %s: %s; check the command after \"--\"", argv.list[0],
                    strerror(-err));
        close(channel[0]);
    } else {
        (void)fcntl(channel[0], F_SETFL, O_NONBLOCK);
        job->result_fd = channel[0];
    }
release:
    release_strings(&argv);
    release_strings(&envp);
    return err;
}

void job_start(struct run *run, struct job *job, struct hpo_trial *trial)
{
    struct hpo_trial_info *info = NULL;
    struct text why = {0};
    int code;

    *job = (struct job){.trial = trial,
                        .number = hpo_trial_number(trial),
                        .stdout_fd = -1,
                        .stderr_fd = -1,
                        .result_fd = -1};
    run->running++;
    code = hpo_trial_read(run->study, job->number, &info);
    if (code < 0) {
        run_failed(run, code);
        goto abandon;
    }
    if (make_directory(run, job, &why) < 0 || start_program(run, job, info, &why) < 0) {
        cli_say("%s", text_string(&why));
        run_end(run, EXIT_FAILED, false);
        goto abandon;
    }
    if (run->options->timeout_ms)
        job->timeout_at = run_now_ms() + run->options->timeout_ms;
    goto release;

abandon:
    code = hpo_abandon(trial);
    if (code < 0 && !run->status)
        run_failed(run, code);
    job_release(run, job, false, false);
release:
    hpo_trial_info_free(info);
    text_release(&why);
}

/* -- what it says while it runs -- */

static void take_report(struct run *run, struct job *job, const struct result_line *line)
{
    bool prune = false;
    int code = hpo_report(job->trial, line->step, line->value);

    if (code == HPO_OK) {
        job->has_report = true;
        job->last_report = line->value;
        code = hpo_should_prune(job->trial, &prune);
    }
    if (code < 0) {
        job->stopped = true;
        job_ask_to_end(run, job);
        run_failed(run, code);
    } else if (prune) {
        job->pruned = true;
        job_ask_to_end(run, job);
    }
}

/* Lines after the pruner's word are not looked at: whether they came is a matter of timing. */
static void take_line(struct run *run, struct job *job, const char *bytes, size_t size)
{
    struct result_line line;
    struct text why = {0};

    if (job->pruned || job->stopped || job->bad_line.size)
        return;
    if (result_parse_line(bytes, size, run->value_count, &line, &why) < 0) {
        text_addf(&job->bad_line, "%s", text_string(&why));
    } else if (line.kind == RESULT_REPORT) {
        take_report(run, job, &line);
    } else if (line.kind == RESULT_VALUES) {
        memcpy(job->values, line.values, sizeof(job->values));
        job->has_values = true;
        json_decref(job->attrs);
        job->attrs = line.attrs;
    }
    text_release(&why);
}

static void take_bytes(struct run *run, struct job *job, const char *bytes, size_t size)
{
    const char *newline;

    while ((newline = memchr(bytes, '\n', size))) {
        size_t n = (size_t)(newline - bytes);

        text_add_n(&job->line, bytes, n);
        take_line(run, job, job->line.data, job->line.size);
        text_clear(&job->line);
        bytes += n + 1;
        size -= n + 1;
    }
    text_add_n(&job->line, bytes, size);
    if (job->line.size > LINE_MAX_BYTES) {
        if (!job->bad_line.size)
            text_add(&job->bad_line, "it is longer than 1 MiB");
        text_clear(&job->line);
    }
}

void job_read(struct run *run, struct job *job)
{
    char buffer[4096];
    ssize_t n;

    while (job->result_fd >= 0) {
        n = read(job->result_fd, buffer, sizeof(buffer));
        if (n > 0) {
            take_bytes(run, job, buffer, (size_t)n);
        } else if (n == 0 || errno != EINTR) {
            if (n < 0 && errno == EAGAIN)
                return;
            close(job->result_fd);
            job->result_fd = -1;
        }
    }
}

/* -- its end -- */

void job_signal(const struct job *job, int signal_number)
{
    if (job->pid > 0)
        (void)kill(-job->pid, signal_number);
}

void job_ask_to_end(struct run *run, struct job *job)
{
    if (job->kill_at)
        return; /* it has been asked */
    job->kill_at = run_now_ms() + run->options->grace_ms;
    job_signal(job, SIGTERM);
    job_signal(job, SIGCONT); /* a stopped one would not hear it */
}

bool job_has_ended(const struct job *job)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

int job_reap(struct run *run, struct job *job)
{
    int status = 0;

    /* The group's number is ours as long as its leader is not reaped. */
    job_signal(job, SIGKILL);
    guardian_forget(&run->guardian, job->pid);
    while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
        ;
    job->pid = 0;
    job_read(run, job);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && job->line.size)
        take_line(run, job, job->line.data, job->line.size); /* the last one needs no newline */
    return status;
}

/* The last `limit` bytes of a file, or all; `whole` tells. NULL: nothing there. */
static char *read_end(int fd, size_t limit, size_t *size, bool *whole)
{
    struct stat stat;
    off_t offset;
    char *bytes;
    ssize_t n;

    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size == 0)
        return NULL;
    *whole = (uint64_t)stat.st_size <= limit;
    offset = *whole ? 0 : stat.st_size - (off_t)limit;
    bytes = memory_new((size_t)(stat.st_size - offset), 1);
    n = pread(fd, bytes, (size_t)(stat.st_size - offset), offset);
    if (n <= 0) {
        free(bytes);
        return NULL;
    }
    *size = (size_t)n;
    return bytes;
}

/* Every value that is looked for stands in these bytes. */
static bool search_output(const struct run *run, struct job *job, const char *bytes, size_t size)
{
    const struct run_options *options = run->options;

    if (options->key_count == 0)
        return result_last_numbers(bytes, size, job->values, run->value_count);
    for (size_t i = 0; i < options->key_count; i++)
        if (!result_last_key(bytes, size, options->keys[i], &job->values[i]))
            return false;
    return true;
}

void job_find_result(struct run *run, struct job *job)
{
    bool whole = false;
    size_t size;

    for (size_t limit = 1 << 16; !job->has_values && !whole; limit *= 8) {
        char *bytes = read_end(job->stdout_fd, limit, &size, &whole);
        const char *from = bytes;

        if (!bytes)
            return;
        if (!whole) /* half a number is a number, too */
            from = memchr(bytes, '\n', size);
        if (from)
            job->has_values = search_output(run, job, from, size - (size_t)(from - bytes));
        free(bytes);
    }
}

bool job_stderr_tail(const struct job *job, struct text *out, size_t limit)
{
    bool whole;
    size_t size;
    char *bytes = read_end(job->stderr_fd, limit + 1, &size, &whole);

    if (!bytes)
        return false;
    result_tail(out, bytes, size, limit);
    free(bytes);
    return true;
}

bool job_stderr_line(const struct job *job, struct text *out)
{
    bool whole;
    size_t size, start;
    char *bytes = read_end(job->stderr_fd, 400, &size, &whole);

    if (!bytes)
        return false;
    while (size && strchr(" \t\r\n", bytes[size - 1]))
        size--;
    for (start = size; start && bytes[start - 1] != '\n';)
        start--;
    for (size_t i = start; i < size && out->size < 160; i++)
        text_add_char(out, (unsigned char)bytes[i] < 0x20 ? ' ' : bytes[i]);
    free(bytes);
    return out->size > 0;
}

static void drop_output(const struct job *job, int fd, const char *name, bool keep)
{
    struct text path = {0};
    struct stat stat;

    if (fd < 0 || (keep && (fstat(fd, &stat) < 0 || stat.st_size > 0)))
        return;
    text_addf(&path, "%s/%s", job->directory, name);
    (void)unlink(path.data);
    text_release(&path);
}

void job_release(struct run *run, struct job *job, bool keep_directory, bool keep_output)
{
    if (job->directory) {
        drop_output(job, job->stdout_fd, "stdout.log", keep_output);
        drop_output(job, job->stderr_fd, "stderr.log", keep_output);
        if (keep_directory)
            (void)rmdir(job->directory); /* only if nothing is in it */
        else
            (void)workdir_remove(job->directory);
    }
    if (job->stdout_fd >= 0)
        close(job->stdout_fd);
    if (job->stderr_fd >= 0)
        close(job->stderr_fd);
    if (job->result_fd >= 0)
        close(job->result_fd);
    hpo_trial_free(job->trial);
    json_decref(job->attrs);
    text_release(&job->line);
    text_release(&job->bad_line);
    free(job->directory);
    *job = (struct job){0};
    run->running--;
}
