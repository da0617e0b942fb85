/*
 * A machine with faults, loaded before a program (LD_PRELOAD). KEYGATE_TEST_FAULTS names a folder. While these files are in it:
 *
 *   clock   the wall clock is wrong by as many seconds as the file says
 *   open    files whose path ends as the file's first line says cannot be opened; the second line has the errno
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* What the file of a fault says; nothing where there is none. By bare system calls, as what is called here stands in their place. */
static int fault(const char *name, char *text, size_t room) {
    char path[4096];
    const char *folder = getenv("KEYGATE_TEST_FAULTS");
    int kept = errno;
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        errno = kept;
        return 0;
    }
    long length = syscall(SYS_read, fd, text, room - 1);
    syscall(SYS_close, fd);
    errno = kept;
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    char text[64];
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, time);
    if (!outcome && clock == CLOCK_REALTIME && fault("clock", text, sizeof text)) time->tv_sec += atoll(text);
    return outcome;
}

static int fails(const char *path) {
    char text[4096];
    if (!fault("open", text, sizeof text)) return 0;
    char *number = strchr(text, '\n');
    if (!number) return 0;
    *number++ = 0;
    size_t length = strlen(path), suffix = strlen(text);
    if (length < suffix || strcmp(path + length - suffix, text)) return 0;
    errno = atoi(number);
    return 1;
}

static int open_really(const char *path, int flags, mode_t mode) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode); }

#define OPEN(name)                                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                                       \
        va_list more;                                                                                                                  \
        va_start(more, flags);                                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                                        \
        va_end(more);                                                                                                                  \
        return fails(path) ? -1 : open_really(path, flags, mode);                                                                      \
    }
OPEN(open)
OPEN(open64)
