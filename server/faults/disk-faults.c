/* LD_PRELOAD: lets calls on the files below $DISK_FAULTS_DIR fail or take long, as the numbers in $DISK_FAULTS_CONTROL say
   at that moment. The file is mapped; whoever writes to it steers a running process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* In the order of FaultNumbers in disk-faults.ts. */
struct control {
  int64_t write_errno;
  int64_t growth_errno; /* of writes that make a file longer: a full disk */
  int64_t sync_errno;
  int64_t sync_failures; /* how many syncs are still to fail; -1: all */
  int64_t sync_delay_ms;
  int64_t read_errno;
  int64_t free_bytes; /* that the file system claims to have; -1: the truth */
  int64_t failed;     /* counted: calls that were made to fail */
  int64_t syncs;      /* counted */
};

#define FDS 4096
static char ours[FDS];

static struct control *control(void) {
  static struct control *mapped;
  if (mapped == NULL) {
    int fd = syscall(SYS_openat, AT_FDCWD, getenv("DISK_FAULTS_CONTROL"), O_RDWR);
    mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  return mapped;
}

static int is_below(const char *path) {
  const char *dir = getenv("DISK_FAULTS_DIR");
  return dir != NULL && strncmp(path, dir, strlen(dir)) == 0;
}

/* Node's fs.close is a system call of its own, which nobody sees here: a socket may have a file's number by now. */
static int is_ours(int fd) {
  struct stat64 now;
  return fd >= 0 && fd < FDS && ours[fd] && fstat64(fd, &now) == 0 && S_ISREG(now.st_mode);
}

static int fails(int64_t error) {
  if (error == 0) return 0;
  __sync_fetch_and_add(&control()->failed, 1);
  errno = error;
  return 1;
}

static int write_fails(int fd, off64_t end) {
  struct stat64 now;
  if (!is_ours(fd)) return 0;
  if (control()->growth_errno != 0 && fstat64(fd, &now) == 0 && end > now.st_size) return fails(control()->growth_errno);
  return fails(control()->write_errno);
}

static int sync_fails(int fd) {
  struct control *c = control();
  if (!is_ours(fd)) return 0;
  __sync_fetch_and_add(&c->syncs, 1);
  if (c->sync_delay_ms > 0) {
    struct timespec delay = {c->sync_delay_ms / 1000, c->sync_delay_ms % 1000 * 1000000};
    nanosleep(&delay, NULL);
  }
  if (c->sync_errno == 0 || c->sync_failures == 0) return 0;
  if (c->sync_failures > 0) c->sync_failures--;
  return fails(c->sync_errno);
}

#define REAL(name) static __typeof__(&name) real; if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int opened(int fd, const char *path) {
  if (fd >= 0 && fd < FDS) ours[fd] = is_below(path);
  return fd;
}

#define MODE(flags) va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more)

int open(const char *path, int flags, ...) { REAL(open); MODE(flags); return opened(real(path, flags, mode), path); }
int open64(const char *path, int flags, ...) { REAL(open64); MODE(flags); return opened(real(path, flags, mode), path); }

int close(int fd) {
  REAL(close);
  if (fd >= 0 && fd < FDS) ours[fd] = 0;
  return real(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL(pwrite64);
  return write_fails(fd, offset + length) ? -1 : real(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  REAL(pwrite);
  return write_fails(fd, offset + length) ? -1 : real(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(write);
  return is_ours(fd) && write_fails(fd, lseek64(fd, 0, SEEK_CUR) + length) ? -1 : real(fd, bytes, length);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  REAL(pwritev64);
  off64_t end = offset;
  for (int i = 0; i < count; i++) end += parts[i].iov_len;
  return write_fails(fd, end) ? -1 : real(fd, parts, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  off64_t end = offset;
  for (int i = 0; i < count; i++) end += parts[i].iov_len;
  return write_fails(fd, end) ? -1 : real(fd, parts, count, offset);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
  REAL(pread64);
  return is_ours(fd) && fails(control()->read_errno) ? -1 : real(fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
  REAL(pread);
  return is_ours(fd) && fails(control()->read_errno) ? -1 : real(fd, bytes, length, offset);
}

ssize_t read(int fd, void *bytes, size_t length) {
  REAL(read);
  return is_ours(fd) && fails(control()->read_errno) ? -1 : real(fd, bytes, length);
}

int fsync(int fd) { REAL(fsync); return sync_fails(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return sync_fails(fd) ? -1 : real(fd); }

int statfs64(const char *path, struct statfs64 *found) {
  REAL(statfs64);
  int result = real(path, found);
  if (result == 0 && is_below(path) && control()->free_bytes >= 0)
    found->f_bavail = found->f_bfree = control()->free_bytes / found->f_bsize;
  return result;
}

int statfs(const char *path, struct statfs *found) {
  REAL(statfs);
  int result = real(path, found);
  if (result == 0 && is_below(path) && control()->free_bytes >= 0)
    found->f_bavail = found->f_bfree = control()->free_bytes / found->f_bsize;
  return result;
}
