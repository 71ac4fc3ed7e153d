/*
 * Stands between a program and its disk (LD_PRELOAD): records what it does below one folder, and
 * lets operations fail or be slow when a test says so.
 *
 *   DISK_SHIM_ROOT       the folder, absolute; everything elsewhere is left alone
 *   DISK_SHIM_CONTROL    a file of sizeof(struct control) bytes, mapped by all processes (disk-shim.ts)
 *   DISK_SHIM_RECORDING  the file operations are appended to; left out = nothing is recorded
 *
 * Changes are made and recorded under one lock, so their order in the recording is the one in which
 * they happened. An fsync is two records: what was written before the first is on the disk at the
 * second. Times are of CLOCK_MONOTONIC, which is process.hrtime() in Node.
 *
 * LevelDB writes by stdio, whose system calls are inside libc and cannot be replaced. fopen for
 * writing therefore gives a stream of our own (fopencookie) with the buffer size of a file's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Kinds of operations that can fail; the order is known to disk-shim.ts. */
enum kind { K_WRITE, K_SYNC, K_RENAME, K_OPEN, K_UNLINK, K_MKDIR, KINDS };

/* Shared with the test; the layout is known to disk-shim.ts. */
struct control {
  uint64_t seen[KINDS];   /* operations since the test set this to 0 */
  uint64_t failed;        /* operations that were made to fail */
  uint64_t bytes_written; /* below the folder */
  uint64_t first;         /* which operation of the kinds fails first, counted from 1; 0 = none */
  uint64_t failures;      /* how many fail from there on */
  uint64_t matched;       /* operations of these kinds since the test set this to 0 */
  uint64_t free_bytes;    /* what can still be written while is_limited; statfs says so, too */
  uint32_t kinds;         /* bit set of kinds that fail */
  int32_t error;          /* errno of the failures */
  uint32_t is_torn;       /* a failing write does its first half */
  uint32_t is_limited;
  uint32_t sync_delay_us; /* how long an fsync takes at least */
  uint32_t no_sync;       /* fsync does nothing, for speed */
  uint32_t is_out_of_inodes; /* no file or directory can be made: ENOSPC */
};

/* Records; the numbers and the layout are known to recording.ts. */
enum record { R_OPEN = 1, R_WRITE, R_SYNC_BEGIN, R_SYNC_END, R_TRUNCATE, R_RENAME, R_LINK, R_UNLINK, R_MKDIR, R_RMDIR };

struct header {
  uint32_t bytes; /* of the whole record */
  uint32_t pid;
  uint64_t ns;
  uint32_t record;
  int32_t file; /* number of the opened file, unique in its process */
  int64_t a;
  int64_t b;
  uint32_t first_bytes;
  uint32_t second_bytes;
};

#define MAX_FDS 65536
/* Size of stdio's buffer for a file on the usual file systems. */
#define STREAM_BUFFER 4096

static struct control idle;
static struct control *control = &idle;
static char root[PATH_MAX];
static size_t root_len;
static int recording = -1;
static int32_t files[MAX_FDS]; /* number of the file below the folder behind a descriptor, 0 = none */
static int32_t next_file = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...)                                                \
  static result (*real_##name)(__VA_ARGS__);                                   \
  if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int true_open(const char *path, int flags, mode_t mode) {
  REAL(int, open, const char *, int, ...);
  return real_open(path, flags, mode);
}

__attribute__((constructor)) static void start(void) {
  const char *folder = getenv("DISK_SHIM_ROOT");
  const char *shared = getenv("DISK_SHIM_CONTROL");
  const char *log = getenv("DISK_SHIM_RECORDING");
  if (folder == NULL || strlen(folder) >= sizeof root) return;
  if (shared != NULL) {
    int fd = true_open(shared, O_RDWR | O_CLOEXEC, 0);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) abort();
    close(fd);
    control = map;
  }
  if (log != NULL) {
    recording = true_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (recording < 0) abort();
  }
  strcpy(root, folder);
  root_len = strlen(root);
}

/* The absolute form of a path that may be relative to a directory's descriptor; NULL when it is not below the folder. */
static const char *below(int dirfd, const char *path, char *into) {
  if (root_len == 0 || path == NULL) return NULL;
  const char *whole = path;
  if (path[0] != '/') {
    char name[64] = "/proc/self/cwd";
    if (dirfd != AT_FDCWD) snprintf(name, sizeof name, "/proc/self/fd/%d", dirfd);
    int saved = errno;
    ssize_t n = readlink(name, into, PATH_MAX - 1);
    errno = saved;
    if (n < 0 || n + strlen(path) + 2 > PATH_MAX) return NULL;
    into[n] = '/';
    strcpy(into + n + 1, path);
    whole = into;
  }
  if (strncmp(whole, root, root_len) != 0) return NULL;
  return whole[root_len] == 0 || whole[root_len] == '/' ? whole : NULL;
}

static int32_t file_of(int fd) { return fd >= 0 && fd < MAX_FDS ? files[fd] : 0; }

/* As file_of, of what can be written to: libc closes descriptors by itself (closedir), and one that
   was a directory's may be a socket's by now. */
static int32_t written_file_of(int fd) {
  struct stat st;
  if (file_of(fd) == 0) return 0;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) files[fd] = 0;
  return files[fd];
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* To be called with the lock held and errno not needed. */
static void note(enum record record, uint64_t ns, int32_t file, int64_t a, int64_t b, const void *first,
                 size_t first_bytes, const void *second, size_t second_bytes) {
  if (recording < 0) return;
  struct header h = {(uint32_t)(sizeof h + first_bytes + second_bytes), (uint32_t)getpid(), ns, record, file, a, b,
                     (uint32_t)first_bytes, (uint32_t)second_bytes};
  struct iovec parts[3] = {{&h, sizeof h}, {(void *)first, first_bytes}, {(void *)second, second_bytes}};
  REAL(ssize_t, writev, int, const struct iovec *, int);
  if (real_writev(recording, parts, 3) != (ssize_t)h.bytes) abort();
}

static void note_path(enum record record, uint64_t ns, int32_t file, int64_t a, const char *path) {
  note(record, ns, file, a, 0, path, strlen(path), NULL, 0);
}

/* Counts an operation; nonzero = the errno it is to fail with. */
static int fault(enum kind kind) {
  __atomic_add_fetch(&control->seen[kind], 1, __ATOMIC_SEQ_CST);
  if (control->first != 0 && (control->kinds >> kind & 1) != 0) {
    uint64_t n = __atomic_add_fetch(&control->matched, 1, __ATOMIC_SEQ_CST);
    if (n >= control->first && n - control->first < control->failures) {
      __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
      return control->error;
    }
  }
  if (control->is_out_of_inodes && kind == K_MKDIR) return ENOSPC;
  return 0;
}

/* Takes room for a write; 0 when there is not enough. */
static int take(size_t n) {
  if (!control->is_limited) return 1;
  uint64_t left = __atomic_load_n(&control->free_bytes, __ATOMIC_SEQ_CST);
  while (left >= n) {
    if (__atomic_compare_exchange_n(&control->free_bytes, &left, left - n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 1;
  }
  return 0;
}

static int refuse(int error) {
  errno = error;
  return -1;
}

/* Opening */

static int opened(int dirfd, const char *path, int flags, mode_t mode) {
  REAL(int, openat, int, const char *, int, ...);
  char buffer[PATH_MAX];
  const char *whole = below(dirfd, path, buffer);
  if (whole == NULL) {
    int fd = real_openat(dirfd, path, flags, mode);
    if (file_of(fd) != 0) files[fd] = 0;
    return fd;
  }
  int error = fault(K_OPEN);
  if (error != 0) return refuse(error);
  if (control->is_out_of_inodes && (flags & O_CREAT) && access(whole, F_OK) != 0) return refuse(ENOSPC);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int fd = real_openat(dirfd, path, flags, mode);
  int saved = errno;
  if (fd >= 0 && fd < MAX_FDS) {
    files[fd] = next_file++;
    note_path(R_OPEN, ns, files[fd], flags & (O_CREAT | O_TRUNC), whole);
  }
  pthread_mutex_unlock(&lock);
  errno = saved;
  return fd;
}

static int mode_in(int flags, va_list rest) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0; }

#define OPEN(name)                                                             \
  int name(const char *path, int flags, ...) {                                 \
    va_list rest;                                                              \
    va_start(rest, flags);                                                     \
    int mode = mode_in(flags, rest);                                           \
    va_end(rest);                                                              \
    return opened(AT_FDCWD, path, flags, mode);                                \
  }
#define OPENAT(name)                                                           \
  int name(int dirfd, const char *path, int flags, ...) {                      \
    va_list rest;                                                              \
    va_start(rest, flags);                                                     \
    int mode = mode_in(flags, rest);                                           \
    va_end(rest);                                                              \
    return opened(dirfd, path, flags, mode);                                   \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
  REAL(int, close, int);
  if (file_of(fd) != 0) files[fd] = 0;
  return real_close(fd);
}

/* Writing */

static ssize_t true_pwrite(int fd, const void *data, size_t n, off_t at) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
  return real_pwrite64(fd, data, n, at);
}

static ssize_t true_write(int fd, const void *data, size_t n) {
  REAL(ssize_t, write, int, const void *, size_t);
  return real_write(fd, data, n);
}

/* at < 0: where the descriptor stands. */
static ssize_t written(int fd, const void *data, size_t n, off_t at) {
  int error = fault(K_WRITE);
  if (error != 0 && (!control->is_torn || n < 2)) return refuse(error);
  if (error != 0) n /= 2;
  if (!take(n)) return refuse(ENOSPC);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  ssize_t done = at < 0 ? true_write(fd, data, n) : true_pwrite(fd, data, n, at);
  int saved = errno;
  if (done > 0) {
    int is_appending = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
    struct stat st;
    off_t offset = at;
    if (is_appending && fstat(fd, &st) == 0) offset = st.st_size - done;
    else if (at < 0) offset = lseek(fd, 0, SEEK_CUR) - done;
    note(R_WRITE, ns, files[fd], offset, done, data, (size_t)done, NULL, 0);
    __atomic_add_fetch(&control->bytes_written, (uint64_t)done, __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock(&lock);
  if (error != 0) return refuse(error);
  errno = saved;
  return done;
}

/* As one write, so that it fails or is recorded as one. */
static ssize_t gathered(int fd, const struct iovec *parts, int count, off_t at) {
  size_t n = 0;
  for (int i = 0; i < count; i++) n += parts[i].iov_len;
  char *data = malloc(n + 1);
  if (data == NULL) return refuse(ENOMEM);
  size_t filled = 0;
  for (int i = 0; i < count; i++) {
    memcpy(data + filled, parts[i].iov_base, parts[i].iov_len);
    filled += parts[i].iov_len;
  }
  ssize_t done = written(fd, data, n, at);
  int saved = errno;
  free(data);
  errno = saved;
  return done;
}

ssize_t write(int fd, const void *data, size_t n) {
  return written_file_of(fd) == 0 ? true_write(fd, data, n) : written(fd, data, n, -1);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) {
  return written_file_of(fd) == 0 ? true_pwrite(fd, data, n, at) : written(fd, data, n, at);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite64(fd, data, n, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  return written_file_of(fd) == 0 ? real_writev(fd, parts, count) : gathered(fd, parts, count, -1);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
  REAL(ssize_t, pwritev64, int, const struct iovec *, int, off_t);
  return written_file_of(fd) == 0 ? real_pwritev64(fd, parts, count, at) : gathered(fd, parts, count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

ssize_t sendfile64(int to, int from, off_t *at, size_t n) {
  REAL(ssize_t, sendfile64, int, int, off_t *, size_t);
  if (written_file_of(to) == 0) return real_sendfile64(to, from, at, n);
  char data[65536];
  if (n > sizeof data) n = sizeof data;
  ssize_t got = at == NULL ? read(from, data, n) : pread(from, data, n, *at);
  if (got <= 0) return got;
  ssize_t done = written(to, data, (size_t)got, -1);
  if (done > 0 && at != NULL) *at += done;
  return done;
}
ssize_t sendfile(int to, int from, off_t *at, size_t n) { return sendfile64(to, from, at, n); }

/* libuv copies by this call; without it, by sendfile. */
long syscall(long number, ...) {
  REAL(long, syscall, long, ...);
  va_list rest;
  va_start(rest, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_copy_file_range && file_of((int)a[2]) != 0) return refuse(ENOSYS);
  return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int truncated(int fd, off_t size) {
  REAL(int, ftruncate64, int, off_t);
  if (file_of(fd) == 0) return real_ftruncate64(fd, size);
  int error = fault(K_WRITE);
  if (error != 0) return refuse(error);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int result = real_ftruncate64(fd, size);
  int saved = errno;
  if (result == 0) note(R_TRUNCATE, ns, files[fd], size, 0, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int ftruncate64(int fd, off_t size) { return truncated(fd, size); }
int ftruncate(int fd, off_t size) { return truncated(fd, size); }

/* Streams */

struct stream {
  int fd;
  FILE *file;
  struct stream *next;
  char buffer[STREAM_BUFFER];
};

static struct stream *streams;
static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;

/* As libc does for a file: until everything is written or an error comes. */
static ssize_t stream_write(void *cookie, const char *data, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t more = write(((struct stream *)cookie)->fd, data + done, n - done);
    if (more < 0) break;
    done += (size_t)more;
  }
  return (ssize_t)done;
}

static int stream_close(void *cookie) {
  struct stream *self = cookie;
  pthread_mutex_lock(&streams_lock);
  for (struct stream **at = &streams; *at != NULL; at = &(*at)->next) {
    if (*at == self) {
      *at = self->next;
      break;
    }
  }
  pthread_mutex_unlock(&streams_lock);
  int result = close(self->fd);
  /* The buffer is in use until fclose is over: what is left of it stays, a few kB for each file. */
  return result;
}

FILE *fopen64(const char *path, const char *mode) {
  REAL(FILE *, fopen64, const char *, const char *);
  char whole[PATH_MAX];
  if (below(AT_FDCWD, path, whole) == NULL) return real_fopen64(path, mode);
  if (mode[0] == 'r') {
    int error = fault(K_OPEN);
    if (error == 0) return real_fopen64(path, mode);
    errno = error;
    return NULL;
  }
  struct stream *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  int flags = O_WRONLY | O_CREAT | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
  self->fd = opened(AT_FDCWD, path, flags, 0666);
  if (self->fd < 0) {
    int saved = errno;
    free(self);
    errno = saved;
    return NULL;
  }
  cookie_io_functions_t functions = {.write = stream_write, .close = stream_close};
  self->file = fopencookie(self, mode, functions);
  setvbuf(self->file, self->buffer, _IOFBF, sizeof self->buffer);
  pthread_mutex_lock(&streams_lock);
  self->next = streams;
  streams = self;
  pthread_mutex_unlock(&streams_lock);
  return self->file;
}
FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }

int fileno(FILE *file) {
  REAL(int, fileno, FILE *);
  int fd = -1;
  pthread_mutex_lock(&streams_lock);
  for (struct stream *at = streams; at != NULL; at = at->next) {
    if (at->file == file) fd = at->fd;
  }
  pthread_mutex_unlock(&streams_lock);
  return fd >= 0 ? fd : real_fileno(file);
}

/* Making durable */

static int synced(int fd, int (*real)(int)) {
  int error = fault(K_SYNC);
  if (error != 0) return refuse(error);
  int32_t file = files[fd];
  pthread_mutex_lock(&lock);
  note(R_SYNC_BEGIN, now_ns(), file, 0, 0, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  int result = control->no_sync ? 0 : real(fd);
  int saved = errno;
  if (control->sync_delay_us > 0) {
    struct timespec t = {control->sync_delay_us / 1000000, control->sync_delay_us % 1000000 * 1000L};
    nanosleep(&t, NULL);
  }
  pthread_mutex_lock(&lock);
  if (result == 0) note(R_SYNC_END, now_ns(), file, 0, 0, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int fsync(int fd) {
  REAL(int, fsync, int);
  return file_of(fd) == 0 ? real_fsync(fd) : synced(fd, real_fsync);
}
int fdatasync(int fd) {
  REAL(int, fdatasync, int);
  return file_of(fd) == 0 ? real_fdatasync(fd) : synced(fd, real_fdatasync);
}

/* Names */

static int renamed(int from_dir, const char *from, int to_dir, const char *to) {
  REAL(int, renameat, int, const char *, int, const char *);
  char from_buffer[PATH_MAX], to_buffer[PATH_MAX];
  const char *a = below(from_dir, from, from_buffer);
  const char *b = below(to_dir, to, to_buffer);
  if (a == NULL || b == NULL) return real_renameat(from_dir, from, to_dir, to);
  int error = fault(K_RENAME);
  if (error != 0) return refuse(error);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int result = real_renameat(from_dir, from, to_dir, to);
  int saved = errno;
  if (result == 0) note(R_RENAME, ns, 0, 0, 0, a, strlen(a), b, strlen(b));
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
  return renamed(from_dir, from, to_dir, to);
}

static int linked(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  REAL(int, linkat, int, const char *, int, const char *, int);
  char from_buffer[PATH_MAX], to_buffer[PATH_MAX];
  const char *a = below(from_dir, from, from_buffer);
  const char *b = below(to_dir, to, to_buffer);
  if (a == NULL || b == NULL) return real_linkat(from_dir, from, to_dir, to, flags);
  int error = fault(K_MKDIR);
  if (error != 0) return refuse(error);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int result = real_linkat(from_dir, from, to_dir, to, flags);
  int saved = errno;
  if (result == 0) note(R_LINK, ns, 0, 0, 0, a, strlen(a), b, strlen(b));
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  return linked(from_dir, from, to_dir, to, flags);
}

static int removed(int dirfd, const char *path, int flags) {
  REAL(int, unlinkat, int, const char *, int);
  char buffer[PATH_MAX];
  const char *whole = below(dirfd, path, buffer);
  if (whole == NULL) return real_unlinkat(dirfd, path, flags);
  int error = fault(K_UNLINK);
  if (error != 0) return refuse(error);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int result = real_unlinkat(dirfd, path, flags);
  int saved = errno;
  if (result == 0) note_path(flags & AT_REMOVEDIR ? R_RMDIR : R_UNLINK, ns, 0, 0, whole);
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int dirfd, const char *path, int flags) { return removed(dirfd, path, flags); }
int remove(const char *path) {
  int result = removed(AT_FDCWD, path, 0);
  return result < 0 && errno == EISDIR ? rmdir(path) : result;
}

static int made(int dirfd, const char *path, mode_t mode) {
  REAL(int, mkdirat, int, const char *, mode_t);
  char buffer[PATH_MAX];
  const char *whole = below(dirfd, path, buffer);
  if (whole == NULL) return real_mkdirat(dirfd, path, mode);
  int error = fault(K_MKDIR);
  if (error != 0) return refuse(error);
  pthread_mutex_lock(&lock);
  uint64_t ns = now_ns();
  int result = real_mkdirat(dirfd, path, mode);
  int saved = errno;
  if (result == 0) note_path(R_MKDIR, ns, 0, 0, whole);
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int dirfd, const char *path, mode_t mode) { return made(dirfd, path, mode); }

/* Space */

int statfs64(const char *path, struct statfs64 *into) {
  REAL(int, statfs64, const char *, struct statfs64 *);
  char buffer[PATH_MAX];
  int result = real_statfs64(path, into);
  if (result == 0 && control->is_limited && below(AT_FDCWD, path, buffer) != NULL) {
    into->f_bfree = into->f_bavail = control->free_bytes / (uint64_t)into->f_bsize;
  }
  return result;
}
