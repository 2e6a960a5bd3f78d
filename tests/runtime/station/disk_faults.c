/* A disk that refuses: calls on files below a folder fail when they are armed to. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, RENAME = 4 };
static char folder[4096];
static atomic_int kinds, left, faults, code, failed;

/* From the call after the next `after` calls of `kinds` on, fail `count` of them with errno `error`. */
void disk_faults_arm(const char *below, int what, int error, int after, int count) {
  strncpy(folder, below, sizeof folder - 1);
  code = error, left = after, faults = count, failed = 0;
  kinds = what;
}

int disk_faults_disarm(void) {
  kinds = 0;
  return failed;
}

static int refuses(int kind, const char *path) {
  if (!(kinds & kind) || strncmp(path, folder, strlen(folder)) != 0) return 0;
  if (atomic_fetch_sub(&left, 1) > 0) return 0;
  if (atomic_fetch_sub(&faults, 1) <= 0) return 0;
  failed++;
  errno = code;
  return 1;
}

static int refuses_fd(int kind, int fd) {
  char link[64], path[4096];
  ssize_t size;
  if (!(kinds & kind)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if ((size = readlink(link, path, sizeof path - 1)) < 0) return 0;
  path[size] = 0;
  return refuses(kind, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return refuses_fd(WRITE, fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return refuses_fd(WRITE, fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return refuses_fd(WRITE, fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
int ftruncate(int fd, off_t size) { return refuses_fd(WRITE, fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return refuses_fd(WRITE, fd) ? -1 : REAL(ftruncate64)(fd, size); }
int fsync(int fd) { return refuses_fd(SYNC, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return refuses_fd(SYNC, fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return refuses(RENAME, to) ? -1 : REAL(rename)(from, to); }
