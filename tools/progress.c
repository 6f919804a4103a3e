/*
 * progress: everything shown is read from the study, so that it counts the trials of all workers
 * and of earlier runs too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/progress.h"
#include "tools/study_out.h"
#include "tools/text.h"

#define REDRAW_MS 200
#define CLEAR_LINE "\r\033[K"

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add_duration(struct text *out, double seconds)
{
    uint64_t s = seconds < 8.64e8 ? (uint64_t)seconds : 864000000;

    if (s >= 86400)
        text_addf(out, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        text_addf(out, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else if (s >= 60)
        text_addf(out, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else
        text_addf(out, "%" PRIu64 "s", s);
}

static void add_rate(struct text *out, const struct progress *progress, uint64_t done,
                     uint64_t total, int64_t now)
{
    double minutes = (double)(now - progress->started_ms) / 60000;
    double rate = (double)(done - progress->done_at_start) / (minutes > 0 ? minutes : 1);

    if (done <= progress->done_at_start || minutes <= 0)
        return;
    text_addf(out, rate < 10 ? ", %.1f/min" : ", %.0f/min", rate);
    if (total > done) {
        text_add(out, ", ");
        add_duration(out, (double)(total - done) / rate * 60);
        text_add(out, " left");
    }
}

/* No wider than the terminal: a line that wraps cannot be redrawn. */
static void fit(struct text *line)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 4 &&
        line->size >= size.ws_col) {
        line->size = size.ws_col - 1;
        line->data[line->size] = 0;
    }
}

void progress_draw(struct progress *progress, struct hpo_study *study, uint64_t total,
                   const char *note, bool now_please)
{
    struct hpo_study_info *info;
    struct text line = {0};
    int64_t now = now_ms();
    uint64_t done;

    if (!progress->enabled || (!now_please && now - progress->drawn_ms < REDRAW_MS) ||
        hpo_study_info(study, &info) != HPO_OK)
        return;
    done = study_finished(info);
    if (!progress->has_start) {
        progress->has_start = true;
        progress->started_ms = now;
        progress->done_at_start = done;
    }
    text_addf(&line, "%" PRIu64, done);
    if (total)
        text_addf(&line, "/%" PRIu64, total);
    text_addf(&line, " done, %" PRIu64 " running", info->running);
    if (info->complete) {
        text_add(&line, ", ");
        study_print_best(&line, study, info);
    }
    add_rate(&line, progress, done, total, now);
    if (note)
        text_addf(&line, " (%s)", note);
    fit(&line);
    fprintf(stderr, CLEAR_LINE "%s", text_string(&line));
    fflush(stderr);
    text_release(&line);
    hpo_study_info_free(info);
    progress->drawn_ms = now;
    progress->shown = true;
    cli.line_start = CLEAR_LINE;
}

void progress_clear(struct progress *progress)
{
    if (progress->shown)
        (void)!write(STDERR_FILENO, CLEAR_LINE, sizeof(CLEAR_LINE) - 1);
    progress->shown = false;
    cli.line_start = "";
}

void progress_summary(struct hpo_study *study, uint64_t total, const char *ending)
{
    struct hpo_study_info *info;
    struct text line = {0};

    if (hpo_study_info(study, &info) != HPO_OK)
        return;
    text_addf(&line, "%" PRIu64, study_finished(info));
    if (total)
        text_addf(&line, " of %" PRIu64, total);
    text_addf(&line, " trials finished: %" PRIu64 " complete", info->complete);
    if (info->pruned)
        text_addf(&line, ", %" PRIu64 " pruned", info->pruned);
    if (info->failed)
        text_addf(&line, ", %" PRIu64 " failed", info->failed);
    if (info->complete) {
        text_add(&line, "; ");
        study_print_best(&line, study, info);
    }
    if (ending)
        text_addf(&line, "; %s", ending);
    cli_say("%s", text_string(&line));
    text_release(&line);
    hpo_study_info_free(info);
}
