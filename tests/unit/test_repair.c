/*
 * repair: giving up a damaged tail, on the real disk, and on the simulated one with the power cut
 * after every effect.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault/sim.h"
#include "hpo.h"
#include "log_fixture.h"
#include "repair.h"

/* Six batches; 3 attested, 4 and 5 whole, a damaged sector, 6 whole behind it. p = 5 then. */
static void damaged_tail(struct fixture *f)
{
    uint64_t offset;

    fixture_new(f, 16 << 10);
    for (unsigned i = 0; i < 3; i++)
        fixture_append(f, 400);
    fixture_flush(f);
    fixture_attest(f);
    fixture_append(f, 1000);
    fixture_append(f, 40);
    sector_seal(&f->tail);
    offset = f->tail.offset;
    fixture_append(f, 800);
    sector_seal(&f->tail);
    fixture_append(f, 40);
    fixture_flip(f, "wal/00000001.wal", offset + 512 + 99, 2);
}

static int repair(const struct fixture *f, struct repair_result *result, struct error_detail *error)
{
    return repair_tail(f->os, f->store, NULL, 0, result, error);
}

/* Fixture's boot id is made up, so its stores are of another boot for repair_tail and log_open. */
static void examine(const struct fixture *f, struct recovery *found)
{
    struct recovery_options options = {.os = f->os, .store = f->store};

    cr_assert_eq(f->os->boot_id(f->os->self, options.boot_id), 0);
    cr_assert_eq(recovery_examine(&options, found, NULL), 0);
}

Test(repair, a_damaged_tail_is_given_up_and_every_batch_before_it_stays)
{
    struct fixture f;
    struct recovery before, after;
    struct repair_result result;
    struct error_detail error = {0};
    struct log_options options = {0};
    struct log *log;

    damaged_tail(&f);
    examine(&f, &before);
    cr_assert_eq(before.verdict, RECOVERY_CORRUPT_TAIL);
    cr_assert_eq(before.limit.end.lsn, 5);
    options.os = f.os;
    cr_assert_eq(log_open(f.path, &options, &log), HPO_CORRUPT);
    cr_assert_eq(repair(&f, &result, &error), 0, "%s: %s", error.path, error.message);
    cr_assert_eq(result.end.lsn, 5);
    cr_assert_eq(result.segment, 2);
    cr_assert_eq(result.sectors_damaged, 1);
    cr_assert_eq(result.sectors_given_up, 3);
    cr_assert_str_eq(result.quarantine, "quarantine/00000001-00000001.wal");
    cr_assert_eq(fixture_size(&f, result.quarantine), 16 << 10);
    examine(&f, &after);
    cr_assert_eq(after.verdict, RECOVERY_CLEAN_END, "%s", after.damage.message);
    cr_assert_eq(after.action, RECOVERY_IN_PLACE);
    cr_assert_eq(after.limit.end.lsn, 5);
    cr_assert_eq(after.limit.end.chain, before.limit.end.chain);
    cr_assert_eq(after.segments[1].header.reason, SEGMENT_REASON_REPAIR);
    cr_assert_eq(after.segments[1].header.end.lsn, 3); /* H; 4 and 5 were copied */
    recovery_release(&before);
    recovery_release(&after);
    cr_assert_eq(repair(&f, &result, &error), REPAIR_NOTHING);
    cr_assert_eq(log_open(f.path, &options, &log), 0);
    cr_assert_eq(log_end(log).lsn, 5);
    cr_assert_eq(repair(&f, &result, &error), HPO_BUSY); /* somebody writes */
    log_close(log);
    fixture_free(&f);
}

Test(repair, twice_damaged_is_twice_repaired_with_a_higher_epoch)
{
    struct fixture f;
    struct recovery found;
    struct repair_result result;
    struct error_detail error = {0};

    damaged_tail(&f);
    cr_assert_eq(repair(&f, &result, &error), 0);
    fixture_flip(&f, "wal/00000002.wal", (16 << 10) - 5, 2);
    cr_assert_eq(repair(&f, &result, &error), 0);
    cr_assert_eq(result.segment, 3);
    cr_assert_eq(result.end.lsn, 5);
    examine(&f, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.segments[2].header.epoch, 3);
    recovery_release(&found);
    /* An epoch that only quarantine remembers is passed over too. */
    fixture_rename(&f, "quarantine/00000002-00000002.wal", "quarantine/00000002-000000aa.wal");
    fixture_flip(&f, "wal/00000003.wal", (16 << 10) - 5, 2);
    cr_assert_eq(repair(&f, &result, &error), 0);
    examine(&f, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.segments[3].header.epoch, 0xab);
    recovery_release(&found);
    fixture_free(&f);
}

Test(repair, nothing_below_what_is_attested_is_ever_given_up)
{
    struct fixture f;
    struct recovery found;
    struct repair_result result;
    struct error_detail error = {0};

    damaged_tail(&f);
    fixture_flip(&f, "wal/00000001.wal", 4096 + 77, 1);
    cr_assert_eq(repair(&f, &result, &error), REPAIR_NOTHING);
    examine(&f, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.segment_count, 1);
    recovery_release(&found);
    fixture_free(&f);
}

Test(repair, a_store_that_is_sound_or_torn_is_left_alone)
{
    struct fixture f;
    struct repair_result result;
    struct error_detail error = {0};

    fixture_new(&f, 16 << 10);
    fixture_append(&f, 400);
    cr_assert_eq(repair(&f, &result, &error), REPAIR_NOTHING);
    fixture_free(&f);
}

/* -- on the simulated machine -- */

static void put(struct sim *sim, const struct fixture *f, const char *name)
{
    static uint8_t bytes[1 << 16];
    size_t size = fixture_size(f, name);
    char path[128];

    cr_assert_leq(size, sizeof(bytes));
    fixture_read(f, name, 0, bytes, size);
    (void)snprintf(path, sizeof(path), "/store/%s", name);
    cr_assert_eq(sim_put_file(sim, path, bytes, size), 0);
}

static void load(struct sim *sim, const struct fixture *f)
{
    cr_assert_eq(sim_put_directory(sim, "/store"), 0);
    cr_assert_eq(sim_put_directory(sim, "/store/wal"), 0);
    put(sim, f, "FORMAT");
    put(sim, f, "attest");
    put(sim, f, "wal/00000001.wal");
}

static void repair_in_sim(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct repair_result result;
    struct error_detail error = {0};
    struct os_dir *store;
    int *outcome = arg;

    *outcome = HPO_IO;
    if (os->dir_open(os->self, "/store", &store) < 0)
        return; /* the call that fails in this run */
    *outcome = repair_tail(os, store, NULL, 0, &result, &error);
    if (*outcome < 0 && *outcome != HPO_IO && *outcome != HPO_NOSPACE && *outcome != HPO_NOMEM)
        sim_fail(self, "%d %s: %s", *outcome, error.path, error.message);
    os->dir_close(os->self, store);
}

/* What an image may be: as before, or repaired; repairing it (again) and opening it works. */
static void check_image(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct recovery_options options = {.os = os};
    struct log_options open = {.os = os};
    struct recovery found;
    struct repair_result result;
    struct error_detail error = {0};
    struct log *log;
    unsigned *repaired = arg;
    int err;

    if (os->dir_open(os->self, "/store", &options.store) < 0)
        sim_fail(self, "no store");
    (void)os->boot_id(os->self, options.boot_id);
    if (recovery_examine(&options, &found, &error) < 0)
        sim_fail(self, "examine: %s", error.message);
    if (found.limit.end.lsn != 5 ||
        (found.verdict != RECOVERY_CORRUPT_TAIL && found.verdict != RECOVERY_CLEAN_END))
        sim_fail(self, "%s, p = %llu: %s", recovery_verdict_name(found.verdict),
                 (unsigned long long)found.limit.end.lsn, found.damage.message);
    *repaired = found.verdict == RECOVERY_CLEAN_END;
    recovery_release(&found);
    err = repair_tail(os, options.store, NULL, 0, &result, &error);
    if (err < 0 || (err == REPAIR_NOTHING) != (*repaired == 1))
        sim_fail(self, "repair: %d %s", err, error.message);
    err = log_open("/store", &open, &log);
    if (err < 0)
        sim_fail(self, "open: %d %s", err, error_here()->message);
    if (log_end(log).lsn != 5)
        sim_fail(self, "opened at %llu", (unsigned long long)log_end(log).lsn);
    log_close(log);
    os->dir_close(os->self, options.store);
}

static void check_mask(struct sim_cut *cut, const struct sim_mask *mask, unsigned *images,
                       unsigned *repaired)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *image;
    unsigned done = 0;

    (void)sim_cut_choose(cut, mask);
    image = sim_cut_boot(cut, &options);
    cr_assert_eq(sim_call(sim_process_new(image), check_image, &done), SIM_DONE, "%s",
                 sim_failure(image));
    cr_assert_eq(sim_leaks(image), 0);
    sim_free(image);
    *repaired += done;
    (*images)++;
}

Test(repair, a_power_cut_after_every_effect_leaves_the_old_store_or_the_repaired_one,
     .timeout = 300)
{
    struct sim_options options = {.seed = 0, .tears = SIM_TEARS_ANY};
    struct sim *sim = sim_new(&options);
    unsigned images = 0, repaired = 0;
    uint64_t seed = 1;
    struct fixture f;
    int outcome;

    damaged_tail(&f);
    load(sim, &f);
    cr_assert_eq(sim_call(sim_process_new(sim), repair_in_sim, &outcome), SIM_DONE, "%s",
                 sim_failure(sim));
    cr_assert_eq(outcome, 0);
    cr_assert_eq(sim_leaks(sim), 0);
    for (uint64_t effect = 0; effect <= sim_effects(sim); effect++) {
        struct sim_cut *cut = sim_cut_new(sim, effect);
        unsigned items = sim_cut_items(cut);
        struct sim_mask mask;

        for (unsigned round = 0; round < 24 + 2 * (items < 40 ? items : 40); round++) {
            memset(&mask, 0, sizeof(mask));
            for (unsigned item = 0; item < items; item++) {
                bool has = round == 0                        ? false
                           : round == 1                      ? true
                           : round < 2 + items && items < 40 ? item == round - 2 /* one alone */
                           : round < 2 + 2 * items && items < 40
                               ? item != round - 2 - items /* one missing */
                               : false;

                if (round >= 2 + 2 * (items < 40 ? items : 0)) {
                    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                    has = seed >> 63;
                }
                if (has)
                    sim_mask_set(&mask, item);
            }
            check_mask(cut, &mask, &images, &repaired);
        }
        sim_cut_free(cut);
    }
    printf("repair: %u images of power cuts, %u of them repaired, %llu effects\n", images, repaired,
           (unsigned long long)sim_effects(sim));
    cr_assert(repaired > 0 && repaired < images);
    sim_free(sim);
    fixture_free(&f);
}

Test(repair, each_failing_call_leaves_a_store_that_can_be_repaired, .timeout = 300)
{
    static const int errors[] = {EIO, ENOSPC};
    struct fixture f;
    unsigned failures = 0, cases = 0;
    uint64_t steps = 0;

    damaged_tail(&f);
    for (unsigned e = 0; e < 2; e++) {
        for (uint64_t step = 0; step <= steps; step++, cases++) { /* 0: none fails, to count them */
            struct sim_options options = {
                .event = {.step = step, .kind = SIM_FAIL_CALL, .error = errors[e]}};
            struct sim *sim = sim_new(&options);
            unsigned done;
            int outcome = 0;

            load(sim, &f);
            cr_assert_eq(sim_call(sim_process_new(sim), repair_in_sim, &outcome), SIM_DONE, "%s",
                         sim_failure(sim));
            cr_assert_eq(sim_leaks(sim), 0, "step %llu", (unsigned long long)step);
            if (step == 0)
                steps = sim_steps(sim);
            failures += outcome < 0;
            cr_assert_eq(sim_call(sim_process_new(sim), check_image, &done), SIM_DONE,
                         "after step %llu failed with %d: %s", (unsigned long long)step, errors[e],
                         sim_failure(sim));
            sim_free(sim);
        }
    }
    printf("repair: %u failing calls, %u of them fatal to the repair, none to the store\n", cases,
           failures);
    cr_assert_gt(failures, 20);
    fixture_free(&f);
}
