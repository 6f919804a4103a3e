/*
 * hpo stat: how big a store is, what it has done, who is connected.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/text.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    (void)key;
    (void)arg;
    (void)state;
    return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {NULL,
                                   parse,
                                   NULL,
                                   "Show sizes, counters, histograms of the group commit and the "
                                   "disk's flushes, who is connected, "
                                   "and how durable an acknowledged trial is.",
                                   children,
                                   NULL,
                                   NULL};

static const struct {
    unsigned note;
    const char *word, *meaning;
} notes[] = {
    {HPO_NOTE_COW, "copy-on-write", "a copy-on-write file system: writing ahead reserves no space"},
    {HPO_NOTE_OVERLAY, "overlay", "an overlay: what is durable is for the layer below to say"},
    {HPO_NOTE_MEMORY, "memory", "in memory: NOTHING HERE SURVIVES A REBOOT"},
    {HPO_NOTE_RESERVE_SPENT, "reserve-spent",
     "no room is reserved for the next trials: free space"},
};
#define NOTES (sizeof(notes) / sizeof(notes[0]))

static const char *durability_name(enum hpo_durability durability)
{
    return durability == HPO_RELAXED ? "relaxed" : "durable";
}

/* -- JSON: keys are the names of the members -- */

struct member {
    const char *key;
    size_t offset;
};
#define MEMBER(name)                           \
    {                                          \
#name, offsetof(struct hpo_stat, name) \
    }

static const struct member before[] = {MEMBER(lsn),
                                       MEMBER(lsn_durable),
                                       MEMBER(studies),
                                       MEMBER(trials),
                                       MEMBER(trials_running),
                                       MEMBER(trials_waiting),
                                       MEMBER(segments),
                                       MEMBER(log_bytes),
                                       MEMBER(log_bytes_used),
                                       MEMBER(snapshots),
                                       MEMBER(snapshot_lsn),
                                       MEMBER(snapshot_bytes),
                                       MEMBER(batches),
                                       MEMBER(batch_bytes),
                                       MEMBER(log_writes),
                                       MEMBER(log_write_bytes),
                                       MEMBER(log_sectors),
                                       MEMBER(log_pages),
                                       MEMBER(flushes),
                                       MEMBER(flush_failures),
                                       MEMBER(commits),
                                       MEMBER(attest_writes),
                                       MEMBER(attest_bytes),
                                       MEMBER(rolls),
                                       MEMBER(takeovers),
                                       MEMBER(segments_made)};

static void json_histogram(struct writer *json, const char *key,
                           const struct hpo_histogram *histogram)
{
    writer_begin(json, key, '[');
    for (size_t i = 0; i < 32; i++)
        writer_uint(json, NULL, histogram->buckets[i]);
    writer_end(json, ']');
}

static int json_session(void *arg, const struct hpo_session_info *info)
{
    struct writer *json = arg;

    writer_begin(json, NULL, '{');
    writer_uint(json, "session", info->session);
    writer_uint(json, "slot", info->slot);
    writer_bool(json, "alive", info->alive);
    writer_uint(json, "process_id", info->process_id);
    writer_string(json, "host", info->host);
    writer_string(json, "program", info->program);
    writer_time(json, "opened", info->opened_us);
    writer_uint(json, "running", info->running);
    writer_end(json, '}');
    return 0;
}

static int print_json(struct hpo_store *store, const struct hpo_stat *stat)
{
    struct writer json = {.out = stdout};
    int code;

    writer_begin(&json, NULL, '{');
    writer_hex(&json, "uuid", stat->uuid, sizeof(stat->uuid));
    writer_hex(&json, "digest", stat->digest, sizeof(stat->digest));
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
        writer_uint(&json, before[i].key,
                    *(const uint64_t *)((const char *)stat + before[i].offset));
    writer_string(&json, "durability", durability_name(stat->durability));
    writer_string(&json, "file_system", stat->file_system);
    writer_begin(&json, "notes", '[');
    for (size_t i = 0; i < NOTES; i++)
        if (stat->notes & notes[i].note)
            writer_string(&json, NULL, notes[i].word);
    writer_end(&json, ']');
    json_histogram(&json, "commits_per_flush", &stat->commits_per_flush);
    json_histogram(&json, "flush_us", &stat->flush_us);
    writer_begin(&json, "sessions", '[');
    code = hpo_sessions(store, json_session, &json);
    writer_end(&json, ']');
    writer_end(&json, '}');
    writer_line(&json);
    return code;
}

/* -- for people -- */

static void print_size(const char *title, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;

    while (size >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024;
        unit++;
    }
    printf(unit ? "%s %.1f %s" : "%s %.0f %s", title, size, units[unit]);
}

static void print_contents(const struct hpo_stat *stat)
{
    printf("contents   %" PRIu64 " studies, %" PRIu64 " trials (%" PRIu64 " running, %" PRIu64
           " waiting)\n",
           stat->studies, stat->trials, stat->trials_running, stat->trials_waiting);
    printf("log        LSN %" PRIu64 ", durable to %" PRIu64 "; %" PRIu64 " segments", stat->lsn,
           stat->lsn_durable, stat->segments);
    print_size(",", stat->log_bytes);
    print_size(" of which used", stat->log_bytes_used);
    printf("\nsnapshots  %" PRIu64, stat->snapshots);
    if (stat->snapshots) {
        printf(", the newest of LSN %" PRIu64, stat->snapshot_lsn);
        print_size(",", stat->snapshot_bytes);
    }
    printf("\ndurability %s%s\n", durability_name(stat->durability),
           stat->durability == HPO_RELAXED
               ? ": an acknowledged trial survives SIGKILL, not power loss"
               : ": an acknowledged trial survives power loss");
    printf("files on   %s\n", stat->file_system[0] ? stat->file_system : "unknown");
    for (size_t i = 0; i < NOTES; i++)
        if (stat->notes & notes[i].note)
            printf("note       %s\n", notes[i].meaning);
}

static void print_counters(const struct hpo_stat *stat)
{
    printf("appended   %" PRIu64 " batches", stat->batches);
    print_size(",", stat->batch_bytes);
    printf("; %" PRIu64 " writes", stat->log_writes);
    print_size(",", stat->log_write_bytes);
    printf("; %" PRIu64 " sectors, %" PRIu64 " pages\n", stat->log_sectors, stat->log_pages);
    printf("flushes    %" PRIu64 " for %" PRIu64 " commits, %" PRIu64 " failed; %" PRIu64
           " attestations\n",
           stat->flushes, stat->commits, stat->flush_failures, stat->attest_writes);
    printf("files      %" PRIu64 " made, %" PRIu64 " rolls, %" PRIu64 " takeovers\n",
           stat->segments_made, stat->rolls, stat->takeovers);
}

static void print_histogram(const char *title, const struct hpo_histogram *histogram)
{
    uint64_t most = 0;

    for (size_t i = 0; i < 32; i++)
        most = histogram->buckets[i] > most ? histogram->buckets[i] : most;
    if (!most)
        return;
    printf("\n%s\n", title);
    for (size_t i = 0; i < 32; i++) {
        uint64_t count = histogram->buckets[i];

        if (!count)
            continue;
        printf("  %10" PRIu64 " to %10" PRIu64 "  %10" PRIu64 "  ", i ? UINT64_C(1) << i : 0,
               (UINT64_C(2) << i) - 1, count);
        for (uint64_t bar = (count * 40 + most - 1) / most; bar; bar--)
            putchar('#');
        putchar('\n');
    }
}

static int print_session(void *arg, const struct hpo_session_info *info)
{
    char time[WRITER_TIME_SIZE];
    uint64_t *alive = arg;

    *alive += info->alive;
    printf("session    %" PRIu64 " %s  %s, process %" PRIu64 " on %s, since %s, %" PRIu64
           " trials running\n",
           info->session, info->alive ? "alive" : "dead ", info->program, info->process_id,
           info->host, writer_time_print(info->opened_us, time), info->running);
    return 0;
}

static int print_people(struct hpo_store *store, const struct hpo_stat *stat)
{
    uint64_t alive = 0;
    int code;

    fputs("store      ", stdout);
    for (size_t i = 0; i < sizeof(stat->uuid); i++)
        printf("%02x", stat->uuid[i]);
    putchar('\n');
    print_contents(stat);
    code = hpo_sessions(store, print_session, &alive);
    if (!alive)
        puts("counters   none: they count while somebody has the store open");
    else
        print_counters(stat);
    print_histogram("commits per flush", &stat->commits_per_flush);
    print_histogram("microseconds per flush", &stat->flush_us);
    return code;
}

int command_stat(int argc, char **argv)
{
    struct hpo_stat stat = {.size = sizeof(stat)};
    struct hpo_store *store = NULL;
    int status, code;

    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    status = cli_open_to_read(NULL, &store, NULL);
    if (!status) {
        code = hpo_stat(store, &stat);
        if (code == HPO_OK)
            code = (cli.json ? print_json : print_people)(store, &stat);
        if (code < 0)
            status = cli_failed(store, code, cli.store_path);
    }
    return cli_finish(store, status);
}
