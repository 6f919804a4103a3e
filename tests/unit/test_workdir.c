/*
 * Work directories: fresh for each attempt, and nothing of anybody else's is ever touched.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/workdir.h"

static char base[256], parent[300];
static struct workdir workdir;
static struct text note, path;
static const struct workdir_owner owner = {.store = {1, 2, 3}, .study = 7};

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(base, sizeof(base), "%s/hpo-workdir-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(base));
    snprintf(parent, sizeof(parent), "%s/s.hpo.trials", base);
}

static void teardown(void)
{
    workdir_release(&workdir);
    text_release(&note);
    text_release(&path);
    cr_assert_eq(workdir_remove(base), 0);
}

TestSuite(workdir, .init = setup, .fini = teardown);

static void touch(const char *directory, const char *name)
{
    char file[1200];
    int fd;

    snprintf(file, sizeof(file), "%s/%s", directory, name);
    fd = open(file, O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

static bool exists(const char *directory, const char *name)
{
    char file[1200];

    snprintf(file, sizeof(file), "%s/%s", directory, name);
    return access(file, F_OK) == 0;
}

static const char *make_trial(uint64_t number)
{
    text_clear(&path);
    cr_assert_eq(workdir_make_trial(&workdir, number, &path), 0);
    return text_string(&path);
}

Test(workdir, made_once_and_found_again)
{
    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), 0, "%s", text_string(&note));
    cr_assert_eq(workdir.path[0], '/');
    touch(make_trial(3), "model");
    workdir_release(&workdir);
    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), 0);
    cr_assert(exists(workdir.path, "3/model"), "a finished trial keeps what it made");
}

Test(workdir, a_next_attempt_finds_it_empty)
{
    char inner[600], link[700];

    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), 0);
    snprintf(inner, sizeof(inner), "%s/inner", make_trial(3));
    snprintf(link, sizeof(link), "%s/link", inner);
    cr_assert_eq(mkdir(inner, 0700), 0);
    touch(inner, "checkpoint");
    touch(base, "elsewhere");
    cr_assert_eq(symlink(base, link), 0);
    cr_assert(!exists(make_trial(3), "inner"));
    cr_assert(exists(base, "elsewhere"), "a link is removed, not what it points to");
}

Test(workdir, of_another_store_is_moved_aside)
{
    struct workdir_owner other = owner;

    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), 0);
    touch(make_trial(0), "model");
    workdir_release(&workdir);
    other.store[15] = 9;
    cr_assert_eq(workdir_open(&workdir, parent, "lr", &other, &note), 1);
    cr_assert(strstr(note.data, "moved to"));
    cr_assert(!exists(workdir.path, "0"));
    cr_assert(exists(parent, "lr.old-1/0/model"), "nothing is lost");
    workdir_release(&workdir);
    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), 1);
    cr_assert(exists(parent, "lr.old-2/.hpo-run"));
}

Test(workdir, without_marker_it_is_somebody_elses)
{
    char directory[600];

    cr_assert_eq(mkdir(parent, 0700), 0);
    snprintf(directory, sizeof(directory), "%s/lr", parent);
    cr_assert_eq(mkdir(directory, 0700), 0);
    touch(directory, "precious");
    cr_assert_eq(workdir_open(&workdir, parent, "lr", &owner, &note), -1);
    cr_assert(strstr(note.data, "--work-dir"));
    cr_assert(exists(directory, "precious"));
    cr_assert_eq(workdir_open(&workdir, base, "x/../y", &owner, &note), 0, "%s",
                 text_string(&note));
}

Test(workdir, an_impossible_place_is_refused)
{
    char file[1200];

    touch(base, "file");
    snprintf(file, sizeof(file), "%s/file", base);
    cr_assert_eq(workdir_open(&workdir, file, "lr", &owner, &note), -1);
    snprintf(file, sizeof(file), "%s/no/such/place", base);
    cr_assert_eq(workdir_open(&workdir, file, "lr", &owner, &note), -1);
    cr_assert(strstr(note.data, "--work-dir"));
}

Test(workdir, names_become_one_harmless_component)
{
    static const struct {
        const char *name, *component;
    } cases[] = {
        {"lr", "lr"},          {"..", "%2E."},   {".hidden", "%2Ehidden"}, {"a/b", "a%2Fb"},
        {"a b\n", "a%20b%0A"}, {"50%", "50%25"}, {"v1.2_x-y", "v1.2_x-y"}};
    struct text out = {0};
    char long_name[1000];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_clear(&out);
        workdir_component(&out, cases[i].name, 7);
        cr_assert_str_eq(out.data, cases[i].component);
    }
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    text_clear(&out);
    workdir_component(&out, long_name, 7);
    cr_assert_leq(out.size, 200);
    cr_assert(strstr(out.data, "~7"));
    text_release(&out);
}
