/*
 * objective: the program that the process tests tune. Small and quick, so that a test can afford
 * thousands of evaluations, and talkative about them: every evaluation leaves two lines in a file.
 *
 *     objective X K C
 *
 * prints some chatter, reports three intermediate values on HPO_RESULT_FD and ends with a value
 * that depends on nothing but X (number), K (integer) and C (text). C = "fail" exits with 3 and a
 * last word on stderr, C = "nan" has NaN for a value.
 *
 * OBJECTIVE_MARKS   file to append to: "begin NUMBER PID MICROSECONDS SEED X,K,C" and
 *                   "end NUMBER PID MICROSECONDS VALUE"; each line is one write, so that lines of
 *                   processes that run at once stay whole
 * OBJECTIVE_US      how long to sleep in between
 */
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *text(const char *name)
{
    const char *value = getenv(name);

    return value ? value : "";
}

static long long monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

__attribute__((format(printf, 2, 3))) static void line(int fd, const char *format, ...)
{
    char buffer[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    if (fd < 0 || n < 0 || n >= (int)sizeof(buffer) || write(fd, buffer, (size_t)n) != n)
        _exit(90);
}

int main(int argc, char **argv)
{
    int marks = open(text("OBJECTIVE_MARKS"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int result = atoi(text("HPO_RESULT_FD"));
    double x, value;
    long k;

    if (argc != 4 || result <= 2)
        return 91;
    x = strtod(argv[1], NULL);
    k = strtol(argv[2], NULL, 10);
    line(marks, "begin %s %ld %lld %s %s,%s,%s\n", text("HPO_TRIAL"), (long)getpid(),
         monotonic_us(), text("HPO_SEED"), argv[1], argv[2], argv[3]);
    printf("epoch 1 of 3\n7\nnot a number\n");
    value = (x - 0.3) * (x - 0.3) + (double)k / 64 + (strcmp(argv[3], "b") == 0 ? 0.125 : 0);
    for (int step = 1; step <= 3; step++)
        line(result, "report %d %.17g\n", step, value + 1.0 / step);
    usleep((useconds_t)atol(text("OBJECTIVE_US")));
    if (strcmp(argv[3], "fail") == 0) {
        fprintf(stderr, "objective: k=%ld was too much\n", k);
        line(marks, "end %s %ld %lld fail\n", text("HPO_TRIAL"), (long)getpid(), monotonic_us());
        return 3;
    }
    if (strcmp(argv[3], "nan") == 0)
        value = NAN;
    line(marks, "end %s %ld %lld %.17g\n", text("HPO_TRIAL"), (long)getpid(), monotonic_us(),
         value);
    printf("%.17g\n", value);
    return 0;
}
