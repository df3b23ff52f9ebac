/* Put before libc (LD_PRELOAD): a clock that jumps and a disk that fails, as a shared control block says.

   Monotonic clocks are left alone, and so are the standard streams: logs go on while the disk is full. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SOUND, FULL, FAILING };

struct control {
    volatile int64_t clock_ahead_seconds;
    volatile int64_t disk;
};

static struct control none;
static struct control *control = &none;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("SOAK_CONTROL");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) control = shared;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, now);
    if (!status && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock_ahead_seconds;
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(now, zone);
    if (!status) now->tv_sec += control->clock_ahead_seconds;
    return status;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

ssize_t write(int file, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
    struct stat what;
    if (control->disk == FULL && file > STDERR_FILENO && !fstat(file, &what) && S_ISREG(what.st_mode)) {
        /* What still fits is written: the file is left in part. */
        if (count > 1 && what.st_size == 0) return real(file, bytes, count / 2);
        errno = ENOSPC;
        return -1;
    }
    return real(file, bytes, count);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    if (control->disk == FAILING) {
        errno = EIO;
        return -1;
    }
    return real(file);
}
