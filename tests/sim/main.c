/*
 * sim: the crash test of the log on a simulated machine.
 *
 *   sim --list                       the scenarios and the lies
 *   sim --all                        all scenarios, with the sum
 *   sim --scenario NAME              one
 *   sim --lie NAME                   a flush that lies; success: the lie was found out
 *   sim --replay NAME:SEED:CUT:MASK  one image, as a failing run printed it
 *       --keep DIR                   ... and write it out
 *
 * HPO_TEST_SCALE (0.1 if unset; CI: 1) scales the counts.
 */
#include "scenarios.h"

#include <argp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lie {
    const char *name, *what, *scenario, *dir_sync, *file_sync;
};

static const struct lie lies[] = {
    {"segment", "the flush of a segment", "commit", NULL, "*.wal"},
    {"wal_directory", "the flush of wal/", "roll", "wal", NULL},
    {"new_segment", "the flush of a new segment before it gets its name", "roll", NULL, "*.new"},
    {"format", "the flush of FORMAT", "create", NULL, "FORMAT*"},
    {"store_directory", "the flush of the store's directory", "create", "store", NULL},
    {"parent_directory", "the flush of the directory above the store", "create", "", NULL},
};

struct arguments {
    const char *scenario, *replay, *keep, *lie;
    bool list, all;
};

static const struct argp_option options[] = {
    {"list", 'l', NULL, 0, "Show scenarios and lies", 0},
    {"all", 'a', NULL, 0, "Run every scenario", 0},
    {"scenario", 's', "NAME", 0, "Run one scenario", 0},
    {"lie", 'L', "NAME", 0, "Let a flush report success and do nothing; it must be found out", 0},
    {"replay", 'r', "ID", 0, "Look at one image: name:seed:cut:mask as a failing run printed it",
     0},
    {"keep", 'k', "DIR", 0, "With --replay: write the image to this directory", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 'l':
        arguments->list = true;
        return 0;
    case 'a':
        arguments->all = true;
        return 0;
    case 's':
        arguments->scenario = arg;
        return 0;
    case 'L':
        arguments->lie = arg;
        return 0;
    case 'r':
        arguments->replay = arg;
        return 0;
    case 'k':
        arguments->keep = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct scenario *scenario_at(unsigned index)
{
    return index < scenario_count ? &scenarios[index] : &store_scenarios[index - scenario_count];
}

static unsigned all_count(void)
{
    return scenario_count + store_scenario_count;
}

static const struct scenario *find_scenario(const char *name, size_t length)
{
    for (unsigned i = 0; i < all_count(); i++)
        if (strlen(scenario_at(i)->name) == length &&
            strncmp(scenario_at(i)->name, name, length) == 0)
            return scenario_at(i);
    return NULL;
}

static double scale_wanted(void)
{
    const char *text = getenv("HPO_TEST_SCALE");
    double scale = text ? strtod(text, NULL) : 0.1;

    return scale > 0 ? scale : 0.1;
}

/* An assertion or a fault inside the engine: say which image it was. Only what is already in memory
 * is formatted; if that fails too, the first word was said. */
static void on_crash(int number)
{
    static const char word[] = "\nFAIL (crash) ";
    const char *place = enumerate_place();

    (void)!write(STDOUT_FILENO, word, sizeof(word) - 1);
    (void)!write(STDOUT_FILENO, place, strlen(place));
    (void)!write(STDOUT_FILENO, "\n", 1);
    signal(number, SIG_DFL);
    raise(number);
}

static void print_report(const char *name, const struct report *report)
{
    printf("%s: %" PRIu64 " runs, %" PRIu64 " cuts, %" PRIu64 " distinct images (%" PRIu64
           " after a second power loss), %" PRIu64 " seen before; lost %" PRIu64
           ", resurrected %" PRIu64 ", half %" PRIu64 ", false alarms %" PRIu64 ", other %" PRIu64
           "\n",
           name, report->runs, report->cuts, report->images, report->images_nested, report->known,
           report->lost, report->resurrected, report->half, report->false_alarms, report->other);
    fflush(stdout);
}

static void add_report(struct report *sum, const struct report *report)
{
    sum->runs += report->runs;
    sum->cuts += report->cuts;
    sum->images += report->images;
    sum->images_nested += report->images_nested;
    sum->known += report->known;
    sum->lost += report->lost;
    sum->resurrected += report->resurrected;
    sum->half += report->half;
    sum->false_alarms += report->false_alarms;
    sum->other += report->other;
}

static int list(void)
{
    for (unsigned i = 0; i < all_count(); i++)
        printf("%-12s %s\n", scenario_at(i)->name, scenario_at(i)->what);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        printf("lie %-17s %s reports success and does nothing\n", lies[i].name, lies[i].what);
    return 0;
}

static void run_scenario(const struct scenario *scenario, struct report *sum)
{
    struct enumeration how = {.scenario = scenario, .scale = scale_wanted()};
    struct report report = {0};

    enumerate_all(&how, &report);
    print_report(scenario->name, &report);
    add_report(sum, &report);
}

static int run_one(const struct scenario *scenario)
{
    struct report sum = {0};

    run_scenario(scenario, &sum);
    return report_failures(&sum) ? 1 : 0;
}

static int run_all(void)
{
    struct report sum = {0};

    for (unsigned i = 0; i < all_count(); i++)
        run_scenario(scenario_at(i), &sum);
    print_report("all", &sum);
    return report_failures(&sum) ? 1 : 0;
}

static int run_lie(const char *name)
{
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct enumeration how = {.scale = scale_wanted(),
                                  .lie_dir_sync = lies[i].dir_sync,
                                  .lie_file_sync = lies[i].file_sync,
                                  .stop_at_first = true};
        struct report report = {0};

        if (strcmp(lies[i].name, name) != 0)
            continue;
        how.scenario = find_scenario(lies[i].scenario, strlen(lies[i].scenario));
        enumerate_all(&how, &report);
        print_report(how.scenario->name, &report);
        printf("%s: %s\n", name,
               report_failures(&report) ? "found out, as it must be" : "NOT FOUND OUT");
        return report_failures(&report) ? 0 : 1;
    }
    fprintf(stderr, "sim: no lie is called %s; see --list\n", name);
    return 2;
}

static int replay(const char *id, const char *keep)
{
    size_t length = strcspn(id, ":");
    struct enumeration how = {.scale = 1, .keep = keep};
    struct report report = {0};

    how.scenario = find_scenario(id, length);
    if (!how.scenario || id[length] != ':' ||
        enumerate_replay(&how, id + length + 1, &report) < 0) {
        fprintf(stderr, "sim: %s is not NAME:SEED[:CUT:MASK...]\n", id);
        return 2;
    }
    print_report(how.scenario->name, &report);
    return report_failures(&report) ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, "Crash test of the log.",
                                     NULL,    NULL,  NULL};
    struct arguments arguments = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    if (arguments.list)
        return list();
    if (arguments.replay)
        return replay(arguments.replay, arguments.keep);
    if (arguments.lie)
        return run_lie(arguments.lie);
    if (arguments.all)
        return run_all();
    if (arguments.scenario) {
        const struct scenario *scenario =
            find_scenario(arguments.scenario, strlen(arguments.scenario));

        if (scenario)
            return run_one(scenario);
        fprintf(stderr, "sim: no scenario is called %s; see --list\n", arguments.scenario);
        return 2;
    }
    fprintf(stderr, "sim: say what to do; see --help\n");
    return 2;
}
