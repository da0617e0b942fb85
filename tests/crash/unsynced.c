/*
 * A disk that forgets: loaded before a program (LD_PRELOAD), it keeps what is written to the store in memory until it is synced,
 * so that a SIGKILL loses what a power failure would lose. It stands between SQLite and libc, because the program itself has no
 * unsafe code to put a VFS into.
 *
 * KEYGATE_TEST_STORE names the store; its `-wal` and `-journal` are covered too. Now and then a page reaches the disk early and
 * out of order, as the system may decide. While these files exist beside the store:
 *
 *   STORE.fail-fsync   fsync fails with EIO, and what was to be synced is never written unless it is written again, which is
 *                      what Linux does
 *   STORE.fail-late    fsync fails with EIO although everything is written: what a process leaves in the system's cache when only
 *                      the process ends
 *   STORE.full         writes fail with ENOSPC
 *   STORE.hang         fsync does not return
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define FILES 16
#define DESCRIPTORS 65536
#define REAL(name) ((__typeof__(&name))real(#name))

/* A file as the program sees it. What is dirty is not on the disk. */
struct file {
    dev_t device;
    ino_t inode;
    char *bytes;
    size_t size, room;
    char *dirty; /* one for each page */
    int resized;
};

static struct file files[FILES];
static struct file *opened[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned seed;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static const char *store(void) { return getenv("KEYGATE_TEST_STORE"); }

static int is_covered(const char *path) {
    size_t length = store() ? strlen(store()) : 0;
    if (!length || strncmp(path, store(), length)) return 0;
    return !path[length] || !strcmp(path + length, "-wal") || !strcmp(path + length, "-journal");
}

/* Whether a control file exists. */
static int is_on(const char *suffix) {
    char path[4096];
    int kept = errno, found;
    snprintf(path, sizeof path, "%s%s", store(), suffix);
    found = !access(path, F_OK);
    errno = kept;
    return found;
}

static struct file *find(int fd) { return fd >= 0 && fd < DESCRIPTORS ? opened[fd] : NULL; }

static void grow(struct file *file, size_t size) {
    if (size > file->room) {
        size_t room = (size * 2 / PAGE + 16) * PAGE;
        file->bytes = realloc(file->bytes, room);
        file->dirty = realloc(file->dirty, room / PAGE);
        if (!file->bytes || !file->dirty) abort();
        memset(file->dirty + file->room / PAGE, 0, (room - file->room) / PAGE);
        file->room = room;
    }
    if (size > file->size) {
        memset(file->bytes + file->size, 0, size - file->size);
        file->size = size;
    }
}

static void cover(int fd) {
    struct stat found;
    struct file *file = NULL;
    if (fd < 0 || fd >= DESCRIPTORS || REAL(fstat)(fd, &found)) return;
    for (int i = 0; i < FILES; i++)
        if (files[i].inode == found.st_ino && files[i].device == found.st_dev) file = &files[i];
    for (int i = 0; i < FILES && !file; i++) {
        if (files[i].inode) continue;
        file = &files[i];
        file->device = found.st_dev;
        file->inode = found.st_ino;
        file->resized = 0;
        file->size = 0;
        grow(file, found.st_size ? found.st_size : 1);
        file->size = found.st_size;
        memset(file->dirty, 0, file->room / PAGE);
        for (size_t at = 0; at < file->size;) {
            ssize_t got = REAL(pread)(fd, file->bytes + at, file->size - at, at);
            if (got <= 0) abort();
            at += got;
        }
    }
    if (!file) abort();
    opened[fd] = file;
}

static void reach_disk(int fd, struct file *file, size_t page) {
    size_t at = page * PAGE, length = file->size > at ? file->size - at : 0;
    if (length > PAGE) length = PAGE;
    if (length && REAL(pwrite)(fd, file->bytes + at, length, at) != (ssize_t)length) abort();
    file->dirty[page] = 0;
}

static ssize_t covered_write(int fd, struct file *file, const void *from, size_t count, off_t at) {
    if (is_on(".full")) {
        errno = ENOSPC;
        return -1;
    }
    grow(file, at + count);
    memcpy(file->bytes + at, from, count);
    for (size_t page = at / PAGE; page * PAGE < at + count; page++) file->dirty[page] = 1;
    if (!seed) seed = time(NULL) ^ getpid();
    if (rand_r(&seed) % 8 == 0 && !is_on(".fail-fsync")) {
        size_t page = rand_r(&seed) % (file->size / PAGE + 1);
        if (file->dirty[page]) reach_disk(fd, file, page);
    }
    return count;
}

static ssize_t covered_read(struct file *file, void *to, size_t count, off_t at) {
    if ((size_t)at >= file->size) return 0;
    if (count > file->size - at) count = file->size - at;
    memcpy(to, file->bytes + at, count);
    return count;
}

static int covered_sync(int fd, struct file *file) {
    while (is_on(".hang")) usleep(1000);
    int fails = is_on(".fail-fsync");
    if (file->resized && !fails && REAL(ftruncate)(fd, file->size)) abort();
    for (size_t page = 0; page * PAGE < file->size; page++) {
        if (!file->dirty[page]) continue;
        if (fails)
            file->dirty[page] = 0;
        else
            reach_disk(fd, file, page);
    }
    file->resized = file->resized && fails;
    if (!fails && !is_on(".fail-late")) return 0;
    errno = EIO;
    return -1;
}

static int covered_truncate(struct file *file, off_t size) {
    grow(file, size);
    file->size = size;
    file->resized = 1;
    /* What is behind the end is nobody's, and must not be written when the file grows again. */
    for (size_t page = (size + PAGE - 1) / PAGE; page < file->room / PAGE; page++) file->dirty[page] = 0;
    return 0;
}

#define OPEN(name)                                                       \
    int name(const char *path, int flags, ...) {                         \
        va_list more;                                                    \
        va_start(more, flags);                                           \
        int fd = REAL(name)(path, flags, va_arg(more, int));             \
        va_end(more);                                                    \
        if (fd >= 0 && is_covered(path)) {                               \
            pthread_mutex_lock(&lock);                                   \
            cover(fd);                                                   \
            pthread_mutex_unlock(&lock);                                 \
        }                                                                \
        return fd;                                                       \
    }
OPEN(open)
OPEN(open64)

/* Calls the real function where the descriptor is not covered. */
#define COVERED(name, type, arguments, call, covered)                    \
    type name arguments {                                                \
        struct file *file = find(fd);                                    \
        if (!file) return REAL(name) call;                               \
        pthread_mutex_lock(&lock);                                       \
        type result = covered;                                           \
        pthread_mutex_unlock(&lock);                                     \
        return result;                                                   \
    }

static ssize_t read_on(int fd, struct file *file, void *to, size_t count) {
    off_t at = REAL(lseek)(fd, 0, SEEK_CUR);
    ssize_t got = covered_read(file, to, count, at);
    REAL(lseek)(fd, at + got, SEEK_SET);
    return got;
}

static ssize_t write_on(int fd, struct file *file, const void *from, size_t count) {
    off_t at = REAL(lseek)(fd, 0, SEEK_CUR);
    ssize_t written = covered_write(fd, file, from, count, at);
    if (written > 0) REAL(lseek)(fd, at + written, SEEK_SET);
    return written;
}

COVERED(pread, ssize_t, (int fd, void *to, size_t count, off_t at), (fd, to, count, at), covered_read(file, to, count, at))
COVERED(pread64, ssize_t, (int fd, void *to, size_t count, off64_t at), (fd, to, count, at), covered_read(file, to, count, at))
COVERED(pwrite, ssize_t, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at),
        covered_write(fd, file, from, count, at))
COVERED(pwrite64, ssize_t, (int fd, const void *from, size_t count, off64_t at), (fd, from, count, at),
        covered_write(fd, file, from, count, at))
COVERED(read, ssize_t, (int fd, void *to, size_t count), (fd, to, count), read_on(fd, file, to, count))
COVERED(write, ssize_t, (int fd, const void *from, size_t count), (fd, from, count), write_on(fd, file, from, count))
COVERED(fsync, int, (int fd), (fd), covered_sync(fd, file))
COVERED(fdatasync, int, (int fd), (fd), covered_sync(fd, file))
COVERED(ftruncate, int, (int fd, off_t size), (fd, size), covered_truncate(file, size))
COVERED(ftruncate64, int, (int fd, off64_t size), (fd, size), covered_truncate(file, size))

#define FSTAT(name, type)                                                \
    int name(int fd, struct type *found) {                               \
        int result = REAL(name)(fd, found);                              \
        if (!result && find(fd)) found->st_size = find(fd)->size;        \
        return result;                                                   \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

static struct file *by_path(const char *path) {
    struct stat found;
    if (!is_covered(path) || REAL(stat)(path, &found)) return NULL;
    for (int i = 0; i < FILES; i++)
        if (files[i].inode == found.st_ino && files[i].device == found.st_dev) return &files[i];
    return NULL;
}

#define STAT(name, type)                                                 \
    int name(const char *path, struct type *found) {                     \
        int result = REAL(name)(path, found);                            \
        struct file *file = result ? NULL : by_path(path);               \
        if (file) found->st_size = file->size;                           \
        return result;                                                   \
    }
STAT(stat, stat)
STAT(stat64, stat64)

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    struct file *file = by_path(path);
    int result = REAL(unlink)(path);
    if (file && !result) {
        /* A file that comes later may get the same inode. */
        for (int fd = 0; fd < DESCRIPTORS; fd++)
            if (opened[fd] == file) opened[fd] = NULL;
        file->inode = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int close(int fd) {
    if (find(fd)) opened[fd] = NULL;
    return REAL(close)(fd);
}
