/*
 * workdir: made beside and renamed into place, so that a directory never stands without its marker;
 * workers that start together take turns under flock on the parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/memory.h"
#include "tools/workdir.h"

#define MARKER ".hpo-run"
#define COMPONENT_MAX 150 /* bytes of a name kept; a file name may have 255 */

void workdir_component(struct text *out, const char *study, uint64_t id)
{
    size_t start = out->size;

    for (const char *c = study; *c && out->size - start < COMPONENT_MAX; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("_-+=@,", *c) || (*c == '.' && c != study);

        if (plain)
            text_add_char(out, *c);
        else
            text_addf(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
    if (out->size - start >= COMPONENT_MAX) /* cut: the id keeps it apart from others */
        text_addf(out, "~%" PRIu64, id);
}

/* -- removing -- */

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat;
    (void)ftw;
    return (kind == FTW_DP || kind == FTW_D || kind == FTW_DNR ? rmdir(path) : unlink(path)) < 0 &&
                   errno != ENOENT
               ? -1
               : 0;
}

int workdir_remove(const char *path)
{
    /* A process of a killed attempt may write for another moment while its guardian gets to it. */
    for (int tries = 0;; tries++) {
        if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY || tries == 50)
            return -errno;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

int workdir_make_trial(const struct workdir *workdir, uint64_t number, struct text *out)
{
    struct text path = {0};
    int err = 0;

    text_addf(&path, "%s/%" PRIu64, workdir->path, number);
    if (mkdir(path.data, 0777) < 0) {
        err = errno == EEXIST ? workdir_remove(path.data) : -errno;
        if (err == 0 && mkdir(path.data, 0777) < 0)
            err = -errno;
    }
    if (err == 0)
        text_add(out, path.data);
    text_release(&path);
    return err;
}

/* -- the study's directory -- */

static void marker_text(struct text *out, const struct workdir_owner *owner)
{
    text_add(out, "store ");
    for (size_t i = 0; i < sizeof(owner->store); i++)
        text_addf(out, "%02x", owner->store[i]);
    text_addf(out, " study %" PRIu64 "\n", owner->study);
}

static int read_marker(const char *directory, char *out, size_t size)
{
    struct text path = {0};
    FILE *file;

    text_addf(&path, "%s/%s", directory, MARKER);
    file = fopen(path.data, "re");
    text_release(&path);
    if (!file)
        return -1;
    out[fread(out, 1, size - 1, file)] = 0;
    fclose(file);
    return 0;
}

/* Make the directory with its marker under a passing name, then give it its own. An empty directory
 * that stands there already is replaced. 0 or a negative errno. */
static int make_marked(const char *path, const char *marker)
{
    struct text passing = {0}, inside = {0};
    FILE *file;
    int err = 0;

    text_addf(&passing, "%s.new-XXXXXX", path);
    if (!mkdtemp(passing.data)) {
        err = -errno;
        goto release;
    }
    text_addf(&inside, "%s/%s", passing.data, MARKER);
    file = fopen(inside.data, "wxe");
    if (!file) {
        err = -errno;
        goto remove;
    }
    fputs(marker, file);
    if (fclose(file) != 0 || chmod(passing.data, 0755) < 0 || rename(passing.data, path) < 0)
        err = -errno;
    if (err == 0)
        goto release;
remove:
    (void)workdir_remove(passing.data);
release:
    text_release(&passing);
    text_release(&inside);
    return err;
}

static int move_aside(const char *path, struct text *note)
{
    struct text old = {0};
    int err = -EEXIST;

    for (unsigned n = 1; n < 1000 && err == -EEXIST; n++) {
        text_clear(&old);
        text_addf(&old, "%s.old-%u", path, n);
        err = access(old.data, F_OK) == 0 ? -EEXIST : rename(path, old.data) < 0 ? -errno : 0;
    }
    if (err == 0)
        (void)text_refuse(note, "%s is of another store; moved to %s", path, old.data);
    text_release(&old);
    return err;
}

/* 0 found, 1 moved aside and made, or -1; as workdir_open. */
static int find_or_make(const char *path, const char *marker, struct text *note)
{
    char found[128];
    int err, moved = 0;

    if (read_marker(path, found, sizeof(found)) == 0) {
        if (strcmp(found, marker) == 0)
            return 0;
        err = move_aside(path, note);
        if (err < 0)
            return text_refuse(note, "cannot move %s aside: %s", path, strerror(-err));
        moved = 1;
    }
    err = make_marked(path, marker);
    if (err == -ENOTEMPTY || err == -EEXIST || err == -ENOTDIR)
        return text_refuse(note, "%s exists and was not made by hpo run; choose another --work-dir",
                           path);
    if (err < 0)
        return text_refuse(note, "cannot make %s: %s; choose another --work-dir", path,
                           strerror(-err));
    return moved;
}

int workdir_open(struct workdir *workdir, const char *parent, const char *study,
                 const struct workdir_owner *owner, struct text *note)
{
    struct text path = {0}, marker = {0};
    char *absolute;
    int fd = -1, result = -1;

    if (mkdir(parent, 0777) < 0 && errno != EEXIST) {
        text_refuse(note, "cannot make %s: %s; choose another --work-dir", parent, strerror(errno));
        goto release;
    }
    absolute = realpath(parent, NULL);
    if (absolute)
        fd = open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        text_refuse(note, "cannot use %s: %s; choose another --work-dir", parent, strerror(errno));
        free(absolute);
        goto release;
    }
    text_addf(&path, "%s/", absolute);
    free(absolute);
    workdir_component(&path, study, owner->study);
    marker_text(&marker, owner);
    result = find_or_make(path.data, marker.data, note);
    if (result >= 0)
        workdir->path = text_take(&path);
release:
    if (fd >= 0)
        close(fd); /* frees the lock */
    text_release(&path);
    text_release(&marker);
    return result;
}

void workdir_release(struct workdir *workdir)
{
    free(workdir->path);
    workdir->path = NULL;
}
