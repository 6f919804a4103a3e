#!/usr/bin/env bash
# The engine reaches the system only through struct hpo_os: no object outside os_linux*.o and the simulated machine may need a
# symbol of libc that does I/O, tells the time, allocates or makes threads. Usage: no_system_calls.sh ARCHIVE...
set -eu
forbidden='open|open64|openat|openat64|close|read|pread|pread64|write|pwrite|pwrite64|readv|writev|fsync|fdatasync|sync_file_range|ftruncate|ftruncate64|fallocate|fallocate64|rename|renameat|renameat2|link|linkat|unlink|unlinkat|mkdir|mkdirat|opendir|fdopendir|readdir|readdir64|stat|fstat|lstat|stat64|fstat64|statfs|fstatfs|fcntl|fcntl64|flock|lockf|mmap|mmap64|munmap|msync|ioctl|fopen|fopen64|fread|fwrite|fclose|printf|fprintf|puts|putchar|perror|exit|_exit|abort|system|fork|execve|kill|signal|sigaction|time|clock_gettime|gettimeofday|nanosleep|usleep|getrandom|getentropy|random|rand|srand|getpid|gettid|getenv|gethostname|uname|syscall|malloc|calloc|realloc|free|strdup|strndup|asprintf|posix_memalign|aligned_alloc|memalign|pthread_create|pthread_mutex_lock|pthread_mutex_unlock|pthread_mutex_init|pthread_atfork|localtime|gmtime|strftime'
status=0
objects=0
for archive in "$@"; do
    found=$(nm -A --undefined-only "$archive" 2>/dev/null | grep -v '/os_linux\|:os_linux' | grep -E " U ($forbidden)(@.*)?$" || true)
    objects=$((objects + $(nm -A --defined-only "$archive" 2>/dev/null | cut -d: -f2 | sort -u | wc -l)))
    if [ -n "$found" ]; then
        echo "system calls outside the os table:"
        echo "$found"
        status=1
    fi
done
echo "$objects objects looked at"
[ "$objects" -gt 0 ] || { echo "nothing to look at: wrong path?"; exit 1; }
exit $status
