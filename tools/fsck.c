/*
 * hpo-fsck: look at a store, say what is wrong with it, and on -p repair what loses nothing.
 *
 * Looking is safe while others write. Exit codes are those of fsck(8), OR-ed.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hpo.h"
#include "tools/cli.h"
#include "tools/text.h"
#include "tools/writer.h"

enum fsck_exit {
    FSCK_CLEAN = 0,
    FSCK_CORRECTED = 1,
    FSCK_LEFT = 4,
    FSCK_OPERATIONAL = 8,
    FSCK_USAGE = 16,
    FSCK_CANCELLED = 32,
    FSCK_LIBRARY = 128,
};

#define SMALL_BYTES (UINT64_C(256) << 20) /* up to here everything is looked at by default */

struct arguments {
    const char *path;
    bool preen, full, quick, verbose;
};

enum { KEY_QUICK = 0x100 };

static const struct argp_option options[] = {
    {"full", 'f', NULL, 0, "Read everything and fold it anew (default for stores up to 256 MiB)",
     0},
    {"quick", KEY_QUICK, NULL, 0, "Headers, ends and hashes only (default for larger ones)", 0},
    {NULL, 'n', NULL, 0, "Change nothing (default)", 0},
    {"preen", 'p', NULL, 0, "Repair what loses nothing that was ever durable for certain", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {"verbose", 'v', NULL, 0, "Also notes, what was looked at, and the bytes of damaged sectors",
     0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'f':
        a->full = true;
        return 0;
    case KEY_QUICK:
        a->quick = true;
        return 0;
    case 'n':
        a->preen = false;
        return 0;
    case 'p':
        a->preen = true;
        return 0;
    case 'j':
        cli.json = true;
        return 0;
    case 'v':
        a->verbose = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        a->path = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->path)
            a->path = getenv("HPO_STORE");
        if (!a->path || !*a->path)
            argp_error(state, "STORE is missing");
        if (a->full && a->quick)
            cli_refuse("--full and --quick exclude each other");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse,
    "STORE",
    "Check a store. Nothing is changed without -p, nothing is ever deleted, and other programs may "
    "go on using the store.\vExit code: 0 clean, 1 errors corrected, 4 errors left, 8 the check "
    "could not be made, 16 usage, 32 cancelled, 128 internal error.",
    NULL,
    NULL,
    NULL};

static void print_version(FILE *out, struct argp_state *state)
{
    (void)state;
    fprintf(out, "hpo-fsck %s\n", hpo_version());
}

/* -- size -- */

static uint64_t bytes_seen;

static int add_size(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    if (kind == FTW_F)
        bytes_seen += (uint64_t)stat->st_size;
    return 0;
}

static bool is_small(const char *path)
{
    bytes_seen = 0;
    return nftw(path, add_size, 16, FTW_PHYS) < 0 || bytes_seen <= SMALL_BYTES;
}

/* -- progress -- */

static int64_t drawn_ms;

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    struct timespec now;
    int64_t ms;

    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - drawn_ms < 200 || total == 0)
        return;
    drawn_ms = ms;
    fprintf(stderr, "\r\033[K%3.0f %%", 100 * (double)done / (double)total);
    fflush(stderr);
    cli.line_start = "\r\033[K";
}

static void clear_progress(void)
{
    if (*cli.line_start)
        fputs(cli.line_start, stderr);
    cli.line_start = "";
}

/* Nothing is half done when we leave: looking changes nothing, and a repair is itself crash-safe.
 */
static void cancel(int signal_number)
{
    (void)signal_number;
    _exit(FSCK_CANCELLED);
}

/* -- findings -- */

static const char *const severities[] = {"note", "fixed", "damage"};

static const char *severity_name(enum hpo_fsck_severity severity)
{
    return (size_t)severity < 3 ? severities[severity] : "damage";
}

static bool present(const char *text)
{
    return text && *text;
}

#define SECTOR 512
#define MAP_COLUMNS 32

/* What stands there, for a person who knows format.md: a sector of zeros, of half a write, or of
 * somebody else's file each has its own look. */
static void print_sector(const char *store, const struct hpo_fsck_finding *finding)
{
    uint64_t offset = finding->offset / SECTOR * SECTOR;
    unsigned char bytes[SECTOR];
    struct text path = {0};
    ssize_t size = -1;
    int fd;

    text_addf(&path, "%s/%s", store, finding->file);
    fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    text_release(&path);
    if (fd >= 0) {
        size = pread(fd, bytes, sizeof(bytes), (off_t)offset);
        close(fd);
    }
    for (ssize_t i = 0; i < size; i++) {
        if (i % MAP_COLUMNS == 0)
            printf("    %10" PRIu64 " ", offset + (uint64_t)i);
        printf(bytes[i] ? " %02x" : " ..", bytes[i]);
        if (i % MAP_COLUMNS == MAP_COLUMNS - 1 || i + 1 == size)
            putchar('\n');
    }
}

static void print_finding(void *arg, const struct hpo_fsck_finding *finding)
{
    const struct arguments *a = arg;

    if (finding->severity == HPO_FSCK_NOTE && !a->verbose)
        return;
    clear_progress();
    printf("%s: %s", severity_name(finding->severity), finding->code);
    if (present(finding->file))
        printf(" in %s at offset %" PRIu64, finding->file, finding->offset);
    if (finding->lsn_first && finding->lsn_last > finding->lsn_first)
        printf(", LSN %" PRIu64 " to %" PRIu64, finding->lsn_first, finding->lsn_last);
    else if (finding->lsn_first)
        printf(", LSN %" PRIu64, finding->lsn_first);
    putchar('\n');
    if (present(finding->what))
        printf("    what    %s\n", finding->what);
    if (present(finding->means))
        printf("    means   %s\n", finding->means);
    if (present(finding->repair))
        printf("    repair  %s\n", finding->repair);
    if (a->verbose && finding->severity == HPO_FSCK_DAMAGE && present(finding->file))
        print_sector(a->path, finding);
}

static void json_finding(void *arg, const struct hpo_fsck_finding *finding)
{
    struct writer *json = arg;

    writer_begin(json, NULL, '{');
    writer_string(json, "severity", severity_name(finding->severity));
    writer_string(json, "code", finding->code);
    writer_string(json, "file", finding->file ? finding->file : "");
    writer_uint(json, "offset", finding->offset);
    writer_uint(json, "lsn_first", finding->lsn_first);
    writer_uint(json, "lsn_last", finding->lsn_last);
    writer_string(json, "what", finding->what ? finding->what : "");
    writer_string(json, "means", finding->means ? finding->means : "");
    writer_string(json, "repair", finding->repair ? finding->repair : "");
    writer_end(json, '}');
}

static void json_result(struct writer *json, const struct hpo_fsck_result *r, bool full, int status)
{
    writer_string(json, "verdict", r->verdict);
    writer_bool(json, "full", full);
    writer_uint(json, "exit", (uint64_t)status);
    writer_uint(json, "lsn", r->lsn);
    writer_uint(json, "lsn_durable", r->lsn_durable);
    writer_uint(json, "batches", r->batches);
    writer_uint(json, "segments", r->segments);
    writer_uint(json, "sectors", r->sectors);
    writer_uint(json, "snapshots", r->snapshots);
    writer_uint(json, "studies", r->studies);
    writer_uint(json, "trials", r->trials);
    writer_uint(json, "bytes", r->bytes);
    writer_uint(json, "notes", r->notes);
    writer_uint(json, "fixed", r->fixed);
    writer_uint(json, "damages", r->damages);
    writer_hex(json, "digest", r->digest, sizeof(r->digest));
}

static void print_result(const struct arguments *a, const struct hpo_fsck_result *r, bool full)
{
    if (a->verbose) {
        printf("looked at  %" PRIu64 " segments, %" PRIu64 " sectors, %" PRIu64 " batches, %" PRIu64
               " snapshots, %" PRIu64 " bytes (%s)\n",
               r->segments, r->sectors, r->batches, r->snapshots, r->bytes,
               full ? "everything" : "quick");
        printf("log        LSN %" PRIu64 ", attested as durable to %" PRIu64 "; %s\n", r->lsn,
               r->lsn_durable, r->verdict);
        printf("contents   %" PRIu64 " studies, %" PRIu64 " trials, digest ", r->studies,
               r->trials);
        for (size_t i = 0; i < sizeof(r->digest); i++)
            printf("%02x", r->digest[i]);
        putchar('\n');
    }
    printf("%s: ", a->path);
    if (r->damages)
        printf("%" PRIu64 " error%s left", r->damages, r->damages == 1 ? "" : "s");
    else
        fputs(r->fixed ? "sound now" : "sound", stdout);
    if (r->fixed)
        printf(", %" PRIu64 " repaired", r->fixed);
    printf("; %" PRIu64 " studies, %" PRIu64 " trials, LSN %" PRIu64, r->studies, r->trials,
           r->lsn);
    if (r->notes)
        printf("; %" PRIu64 " note%s%s", r->notes, r->notes == 1 ? "" : "s",
               a->verbose ? "" : " (-v shows them)");
    puts(full ? "" : "; quick check only");
}

static int fsck_status(const struct hpo_fsck_result *r)
{
    return (r->damages ? FSCK_LEFT : 0) | (r->fixed ? FSCK_CORRECTED : 0);
}

static int failed_status(int code)
{
    return code == HPO_NOMEM || code == HPO_NOT_FOUND || code == HPO_IO || code == HPO_NOSPACE ||
                   code == HPO_PERMISSION || code == HPO_UNSUPPORTED || code == HPO_BUSY ||
                   code == HPO_NETWORK_FS || code == HPO_INVALID
               ? FSCK_OPERATIONAL
               : FSCK_LIBRARY;
}

static int check(const struct arguments *a)
{
    bool full = a->full || (!a->quick && is_small(a->path));
    struct hpo_fsck_options how = {.size = sizeof(how),
                                   .flags = (full ? 0 : HPO_FSCK_QUICK) |
                                            (a->preen ? HPO_FSCK_PREEN : 0)};
    struct hpo_fsck_result result;
    struct writer json = {.out = stdout};
    int code, status;

    if (isatty(STDERR_FILENO))
        how.progress = show_progress;
    if (cli.json) {
        writer_begin(&json, NULL, '{');
        writer_begin(&json, "findings", '[');
    }
    code = hpo_fsck(a->path, &how, cli.json ? json_finding : print_finding,
                    cli.json ? (void *)&json : (void *)a, &result);
    clear_progress();
    status = code < 0 ? failed_status(code) : fsck_status(&result);
    if (cli.json) {
        writer_end(&json, ']');
        if (code < 0)
            writer_uint(&json, "exit", (uint64_t)status);
        else
            json_result(&json, &result, full, status);
        writer_end(&json, '}');
        writer_line(&json);
    } else if (code == HPO_OK) {
        print_result(a, &result, full);
    }
    if (code == HPO_NOT_FOUND)
        cli_say("%s: there is no store here", a->path);
    else if (code < 0)
        (void)cli_failed(NULL, code, a->path);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    int status;

    cli.name = argv[0] = (char[]){"hpo-fsck"};
    argp_err_exit_status = FSCK_USAGE;
    argp_program_version_hook = print_version;
    argp_parse(&parser, argc, argv, 0, NULL, &a);
    cli.store_path = a.path;
    (void)signal(SIGINT, cancel);
    (void)signal(SIGTERM, cancel);
    status = check(&a);
    if (fflush(stdout) || ferror(stdout)) {
        cli_say("cannot write to standard output: %s", strerror(errno));
        status |= FSCK_OPERATIONAL;
    }
    return status;
}
