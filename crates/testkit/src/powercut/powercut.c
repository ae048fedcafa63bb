/* A file layer that remembers what a power cut would leave, for tests (LD_PRELOAD).
 *
 * The kernel keeps unsynced writes through a kill -9, so killing a process proves nothing about fsync.
 * This layer keeps, beside the real files, a shadow of what has been synced:
 *
 *   fsync/fdatasync of a file       its whole content becomes SHADOW/files/KEY
 *   fsync of a directory            its entries become SHADOW/directories/KEY
 *
 * KEY names an inode for good: its number and the time of its birth, so a number that is used again is
 * another key. Everything else (write, rename, unlink, mkdir, link ...) needs no hook: it changes what the
 * next sync sees, and nothing before that. After the process was killed, the test walks from the root's
 * key through the shadow and so rebuilds the directory as if the power had been cut: a file whose name
 * was synced but not its content is there and empty, a rename whose directory was not synced has not
 * happened.
 *
 * It can also break: once POWERCUT_ROOM bytes have been written below the root, writes fail with ENOSPC;
 * after POWERCUT_SYNCS syncs below it, all others fail with EIO and make nothing durable. And it can lie:
 * syncs of paths whose part below the root contains POWERCUT_LIES succeed and make nothing durable, which
 * is what a program that forgot those syncs would get.
 *
 * The shadow is below the root, because a process may have given up writing anywhere else, and is itself
 * left out of everything: nothing else may have its name.
 *
 * Environment: POWERCUT_ROOT (absolute, without links), POWERCUT_SHADOW (has files/ and directories/);
 * POWERCUT_ROOM, POWERCUT_SYNCS and POWERCUT_LIES (optional). A failure of the layer itself aborts the process: a test must not pass by it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static atomic_long written, syncs;

static void broken(const char *what) {
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

/* The part of fd's path below the root, which is empty for the root itself; null when fd is elsewhere. */
static const char *below(int fd, char path[PATH_MAX]) {
    const char *root = getenv("POWERCUT_ROOT");
    char link[64];
    if (!root) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    size_t root_length = strlen(root);
    if (strncmp(path, root, root_length) || (path[root_length] != '/' && path[root_length])) return NULL;
    return path + root_length;
}

/* Whether an entry's name is the shadow's. */
static int is_shadow(const char *name) {
    const char *shadow = getenv("POWERCUT_SHADOW");
    const char *own = shadow ? strrchr(shadow, '/') : NULL;
    return own && !strcmp(name, own + 1);
}

/* Whether fd is an open file or directory below the root. */
static int below_root(int fd) {
    char path[PATH_MAX];
    return below(fd, path) != NULL;
}

/* Whether syncs of fd are lied about. */
static int lied_about(int fd) {
    const char *lies = getenv("POWERCUT_LIES");
    char path[PATH_MAX];
    const char *part = below(fd, path);
    return lies && part && strstr(part, lies);
}

/* Writes KEY of an inode into out; the mode goes to *mode. */
static void key_of(int directory, const char *name, char *out, size_t size, unsigned *mode) {
    struct statx found;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(directory, name, flags, STATX_INO | STATX_BTIME | STATX_MODE | STATX_TYPE, &found)) {
        out[0] = 0; /* Gone since it was listed. */
        return;
    }
    if (!(found.stx_mask & STATX_BTIME)) {
        errno = ENOTSUP;
        broken("the file system keeps no time of birth");
    }
    snprintf(out, size, "%llu-%lld-%u", (unsigned long long)found.stx_ino,
             (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    *mode = found.stx_mode;
}

static void put(int fd, const void *data, size_t size) {
    /* Straight to the kernel: what the shadow takes is not to be counted. */
    for (const char *at = data; size;) {
        ssize_t count = syscall(SYS_write, fd, at, size);
        if (count < 0) broken("write to the shadow");
        at += count;
        size -= (size_t)count;
    }
}

static void copy_content(int from, int to) {
    static char buffer[1 << 20]; /* Used under the lock. */
    ssize_t count;
    while ((count = syscall(SYS_read, from, buffer, sizeof buffer)) > 0) put(to, buffer, (size_t)count);
    if (count < 0) broken("read what was synced");
}

/* One line of fields, each ended by a zero byte: KEY MODE NAME TARGET. */
static void copy_entries(int from, int to) {
    DIR *directory = fdopendir(from);
    if (!directory) broken("read a directory");
    for (struct dirent *entry; (entry = readdir(directory));) {
        char key[96], line[96 + 16 + NAME_MAX + PATH_MAX], target[PATH_MAX] = "";
        unsigned mode = 0;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (is_shadow(entry->d_name)) continue;
        key_of(dirfd(directory), entry->d_name, key, sizeof key, &mode);
        if (!*key) continue;
        if (S_ISLNK(mode)) {
            ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
            target[length < 0 ? 0 : length] = 0;
        }
        int size = snprintf(line, sizeof line, "%s%c%o%c%s%c%s", key, 0, mode, 0, entry->d_name, 0, target);
        put(to, line, (size_t)size + 1);
    }
    closedir(directory);
}

/* Remembers what is behind fd as it is now. */
static void remember(int fd) {
    const char *shadow = getenv("POWERCUT_SHADOW");
    char key[96], self[64], aside[PATH_MAX], name[PATH_MAX];
    unsigned mode = 0;
    if (!shadow) broken("POWERCUT_SHADOW is not set");
    key_of(fd, "", key, sizeof key, &mode);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    const char *kind = S_ISDIR(mode) ? "directories" : "files";
    snprintf(aside, sizeof aside, "%s/aside", shadow);
    snprintf(name, sizeof name, "%s/%s/%s", shadow, kind, key);
    pthread_mutex_lock(&one_at_a_time);
    /* Opened anew: fd may be for writing only, and its position is not ours to move. */
    int from = open(self, O_RDONLY | O_CLOEXEC);
    int to = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0) broken("open for the shadow");
    if (S_ISDIR(mode)) {
        copy_entries(from, to);
    } else {
        copy_content(from, to);
        close(from);
    }
    close(to);
    /* At once, so that being killed here leaves the old state or the new one. */
    if (rename(aside, name)) broken("rename in the shadow");
    pthread_mutex_unlock(&one_at_a_time);
}

static int synced(int fd, const char *call) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    const char *most = getenv("POWERCUT_SYNCS");
    if (most && below_root(fd) && atomic_fetch_add(&syncs, 1) >= atol(most)) {
        errno = EIO;
        return -1;
    }
    int result = real(fd);
    int error = errno;
    if (!result && below_root(fd) && !lied_about(fd)) remember(fd);
    errno = error;
    return result;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

/* Whether there is room for so many bytes more below the root. */
static int room_for(int fd, size_t size) {
    const char *room = getenv("POWERCUT_ROOM");
    if (!room || !below_root(fd)) return 1;
    if (atomic_fetch_add(&written, (long)size) + (long)size <= atol(room)) return 1;
    errno = ENOSPC;
    return 0;
}

ssize_t write(int fd, const void *data, size_t size) {
    return room_for(fd, size) ? syscall(SYS_write, fd, data, size) : -1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return room_for(fd, size) ? syscall(SYS_pwrite64, fd, data, size, at) : -1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
