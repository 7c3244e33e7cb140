/* LD_PRELOAD: writes down, in order, what a process does to the files below $DISK_TRACE_DIR, into $DISK_TRACE_FILE.
   One record per call:  kind:u8 pathLength:u8 offset:u64 length:u32  path  bytes    (numbers as the machine has them)
   kinds: C created or opened, W written (bytes follow), T truncated to `offset`, S synced, F not synced: it failed,
   U unlinked, R renamed (the new path follows as bytes).
   While $DISK_TRACE_FAILS is set, which the process itself may do, all syncs fail after as many as it says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define FDS 4096
static char *paths[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *below(const char *path) {
  const char *dir = getenv("DISK_TRACE_DIR");
  return dir != NULL && strncmp(path, dir, strlen(dir)) == 0 ? path + strlen(dir) : NULL;
}

static int trace_fd(void) {
  static int fd = -1;
  if (fd == -1) fd = syscall(SYS_openat, AT_FDCWD, getenv("DISK_TRACE_FILE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  return fd;
}

static void note(char kind, const char *path, uint64_t offset, const void *bytes, uint32_t length) {
  unsigned char head[14];
  head[0] = kind;
  head[1] = strlen(path);
  memcpy(head + 2, &offset, 8);
  memcpy(head + 10, &length, 4);
  pthread_mutex_lock(&lock);
  syscall(SYS_write, trace_fd(), head, sizeof head);
  syscall(SYS_write, trace_fd(), path, strlen(path));
  if (bytes != NULL && length > 0) syscall(SYS_write, trace_fd(), bytes, length);
  pthread_mutex_unlock(&lock);
}

static const char *path_of(int fd) { return fd >= 0 && fd < FDS ? paths[fd] : NULL; }

#define REAL(name) static __typeof__(&name) real; if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int opened(int fd, const char *path) {
  const char *name = below(path);
  if (fd < 0 || fd >= FDS || name == NULL) return fd;
  paths[fd] = strdup(name);
  note('C', name, 0, NULL, 0);
  return fd;
}

int open(const char *path, int flags, ...) {
  REAL(open);
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(real(path, flags, mode), path);
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(real(path, flags, mode), path);
}

int close(int fd) {
  REAL(close);
  if (path_of(fd) != NULL) {
    free(paths[fd]);
    paths[fd] = NULL;
  }
  return real(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL(pwrite64);
  ssize_t done = real(fd, bytes, length, offset);
  if (done > 0 && path_of(fd) != NULL) note('W', paths[fd], offset, bytes, done);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(write);
  const char *path = path_of(fd);
  off64_t offset = path == NULL ? 0 : lseek64(fd, 0, SEEK_CUR);
  ssize_t done = real(fd, bytes, length);
  if (done > 0 && path != NULL) note('W', path, offset, bytes, done);
  return done;
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  int result = real(fd, length);
  if (result == 0 && path_of(fd) != NULL) note('T', paths[fd], length, NULL, 0);
  return result;
}

/* As a kernel does it: what was to be written counts as written from then on, and is not tried again. */
static int sync_fails(void) {
  static int left = -1;
  const char *fails = getenv("DISK_TRACE_FAILS");
  if (fails == NULL) left = -1;
  else if (left == -1) left = atoi(fails);
  return fails != NULL && left-- <= 0 && (left = 0, 1);
}

static int synced(int fd, int (*real)(int)) {
  if (path_of(fd) == NULL) return real(fd);
  if (sync_fails()) {
    note('F', paths[fd], 0, NULL, 0);
    errno = EIO;
    return -1;
  }
  int result = real(fd);
  if (result == 0) note('S', paths[fd], 0, NULL, 0);
  return result;
}

int fsync(int fd) { REAL(fsync); return synced(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return synced(fd, real); }

int unlink(const char *path) {
  REAL(unlink);
  int result = real(path);
  if (result == 0 && below(path) != NULL) note('U', below(path), 0, NULL, 0);
  return result;
}

int rename(const char *from, const char *to) {
  REAL(rename);
  int result = real(from, to);
  if (result == 0 && below(from) != NULL && below(to) != NULL) note('R', below(from), 0, below(to), strlen(below(to)));
  return result;
}
