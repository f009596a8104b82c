/*
 * Files by a name in an open directory: the descriptor determines what these calls act on, no
 * matter what is renamed, mounted or linked meanwhile. node:fs has none of them. CURRENT_DIRECTORY
 * stands for AT_FDCWD, whose number differs between systems. With it, or with an absolute name,
 * they are the plain calls.
 */
#include "reuseaddr.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <sys/uio.h>
#endif

enum { TEXT_BYTES_MAX = 16 * 1024 };

/* Reads a descriptor of the directory, and a name in it. Puts 0 into *failure, or a negative errno
   for an invalid name. */
static bool named(napi_env env, napi_value directory, napi_value value, int *fd, struct name *name, int *failure) {
  *failure = 0;
  if (!whole(env, directory, fd)) return false;
  if (*fd == CURRENT_DIRECTORY) *fd = AT_FDCWD;
  else if (*fd < 0) *failure = -EBADF;
  return path_name(env, value, name, failure);
}

/* openat(2), close-on-exec. The descriptor belongs to this thread until `close`: owned.c. */
napi_value js_openat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name name;
  int directory, flags, mode, result;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &name, &result) || !whole(env, given[2], &flags) ||
      !whole(env, given[3], &mode))
    return NULL;
  if (result != 0) return integral(env, result);
  do result = outcome(openat(directory, name.bytes, flags | O_CLOEXEC, mode));
  while (result == -EINTR);
  return integral(env, owned(env, result));
}

/* unlinkat(2) of a file, never of a directory. */
napi_value js_unlinkat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name name;
  int directory, result;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &name, &result)) return NULL;
  return integral(env, result != 0 ? result : outcome(unlinkat(directory, name.bytes, 0)));
}

/* linkat(2), within one directory. It never replaces a name. With AT_SYMLINK_FOLLOW, and
   `/proc/self/fd/N` as the first name, it gives a name to a file that O_TMPFILE opened. */
napi_value js_linkat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name from, to;
  int directory, follow, result;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &from, &result) || !path_name(env, given[2], &to, &result) ||
      !whole(env, given[3], &follow))
    return NULL;
  const int flags = follow != 0 ? AT_SYMLINK_FOLLOW : 0;
  return integral(env, result != 0 ? result : outcome(linkat(directory, from.bytes, directory, to.bytes, flags)));
}

/* renameat2(2), within one directory. With RENAME_NOREPLACE it is the only rename that cannot
   destroy a file that has just appeared there. glibc has a wrapper only since 2.28 and musl since
   1.2.6, hence syscall(2). On macOS: renameatx_np(2). */
napi_value js_renameat2(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name from, to;
  int directory, noreplace, result;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &from, &result) || !path_name(env, given[2], &to, &result) ||
      !whole(env, given[3], &noreplace))
    return NULL;
  if (result != 0) return integral(env, result);
  if (noreplace == 0) return integral(env, outcome(renameat(directory, from.bytes, directory, to.bytes)));
#if defined(__linux__) && defined(SYS_renameat2)
  const unsigned flag = 1; /* RENAME_NOREPLACE: older libc headers lack the name. */
  return integral(env, outcome(syscall(SYS_renameat2, directory, from.bytes, directory, to.bytes, flag)));
#elif defined(__APPLE__) && defined(RENAME_EXCL)
  return integral(env, outcome(renameatx_np(directory, from.bytes, directory, to.bytes, RENAME_EXCL)));
#else
  return integral(env, -ENOSYS);
#endif
}

/* fchmodat2(2): a name in a directory, never through a symlink. With an empty name it is the file
   of the descriptor itself, which may be O_PATH. Linux has had it since 6.6; before that, only
   /proc/self/fd leads to such a file. ENOSYS: neither is available. */
napi_value js_fchmodat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name name;
  int directory, mode, result;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &name, &result) || !whole(env, given[2], &mode)) return NULL;
  if (result != 0) return integral(env, result);
#if defined(__linux__)
#if !defined(SYS_fchmodat2)
#define SYS_fchmodat2 452 /* The same number on every processor that Node runs on. */
#endif
#if !defined(AT_EMPTY_PATH)
#define AT_EMPTY_PATH 0x1000
#endif
  const bool itself = name.length == 0;
  result = outcome(syscall(SYS_fchmodat2, directory, name.bytes, (mode_t)mode, itself ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW));
  /* EPERM may come from a seccomp(2) filter that does not know the call. If it comes from the
     kernel, it comes again. */
  if (itself && (result == -ENOSYS || result == -EPERM)) {
    char magic[32];
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", directory);
    int through = outcome(chmod(magic, (mode_t)mode));
    if (through != -ENOENT) result = through;
  }
  return integral(env, result);
#else
  if (name.length == 0) return integral(env, outcome(fchmod(directory, (mode_t)mode)));
  return integral(env, outcome(fchmodat(directory, name.bytes, (mode_t)mode, AT_SYMLINK_NOFOLLOW)));
#endif
}

/* fchownat(2), likewise. -1 leaves an id unchanged. */
napi_value js_fchownat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name name;
  int directory, result;
  double uid, gid;
  arguments(env, info, given);
  if (!named(env, given[0], given[1], &directory, &name, &result) || !integer(env, given[2], -1, UINT32_MAX, &uid) ||
      !integer(env, given[3], -1, UINT32_MAX, &gid))
    return NULL;
  if (result != 0) return integral(env, result);
  const uid_t user = uid < 0 ? (uid_t)-1 : (uid_t)uid;
  const gid_t group = gid < 0 ? (gid_t)-1 : (gid_t)gid;
#if defined(__linux__)
  const int flags = name.length == 0 ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  return integral(env, outcome(fchownat(directory, name.bytes, user, group, flags)));
#else
  if (name.length == 0) return integral(env, outcome(fchown(directory, user, group)));
  return integral(env, outcome(fchownat(directory, name.bytes, user, group, AT_SYMLINK_NOFOLLOW)));
#endif
}

/* readlink(2). */
napi_value js_readlink(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], target = NULL;
  struct name name;
  char bytes[PATH_MAX];
  int result = 0;
  arguments(env, info, given);
  if (!path_name(env, given[0], &name, &result)) return NULL;
  if (result != 0) return integral(env, result);
  long length = readlink(name.bytes, bytes, sizeof bytes);
  if (length < 0) return integral(env, -errno);
  napi_create_string_utf8(env, bytes, (size_t)length, &target);
  return target;
}

/* realpath(3). With a buffer of our own, which its oldest version needs. */
napi_value js_realpath(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], real = NULL;
  struct name name;
  char bytes[PATH_MAX];
  int result = 0;
  arguments(env, info, given);
  if (!path_name(env, given[0], &name, &result)) return NULL;
  if (result != 0) return integral(env, result);
  if (realpath(name.bytes, bytes) == NULL) return integral(env, -errno);
  napi_create_string_utf8(env, bytes, NAPI_AUTO_LENGTH, &real);
  return real;
}

/* The names in a directory, each after a letter for its type, without "." and "..". The descriptor
   may be O_PATH, since the directory is opened again through it. Its position stays as it is. */
napi_value js_readdir(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], list = NULL, entry = NULL;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
  int again = fd < 0 ? -EBADF : outcome(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (again < 0) return integral(env, again);
  DIR *directory = fdopendir(again);
  if (directory == NULL) {
    int failure = -errno;
    discard(again);
    return integral(env, failure);
  }
  napi_create_array(env, &list);
  struct dirent *next;
  for (uint32_t count = 0; errno = 0, (next = readdir(directory)) != NULL;) {
    if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0) continue;
    char bytes[sizeof next->d_name + 1];
    size_t length = strlen(next->d_name);
    bytes[0] = next->d_type == DT_DIR    ? 'd'
               : next->d_type == DT_SOCK ? 's'
               : next->d_type == DT_REG  ? 'f'
               : next->d_type == DT_LNK  ? 'l'
               : next->d_type == DT_FIFO ? 'p'
               : next->d_type == DT_UNKNOWN ? '?' : 'c';
    memcpy(bytes + 1, next->d_name, length);
    napi_create_string_utf8(env, bytes, length + 1, &entry);
    napi_set_element(env, list, count++, entry);
  }
  int failure = -errno;
  closedir(directory);
  return failure == 0 ? list : integral(env, failure);
}

/* ---- what is in a file ---- */

/* pread(2) of text from the start of a file. */
napi_value js_pread(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], content = NULL;
  char bytes[TEXT_BYTES_MAX];
  int fd, bytes_max;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &bytes_max)) return NULL;
  if (bytes_max < 0 || bytes_max > TEXT_BYTES_MAX) return integral(env, -EINVAL);
  long length;
  do length = pread(fd, bytes, (size_t)bytes_max, 0);
  while (length < 0 && errno == EINTR);
  if (length < 0) return integral(env, -errno);
  while (length > 0 && bytes[length - 1] == '\0') length--;
  napi_create_string_utf8(env, bytes, (size_t)length, &content);
  return content;
}

/* pwrite(2) of text at the start of a file. Returns how many bytes. */
napi_value js_pwrite(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  char bytes[TEXT_BYTES_MAX + ROOM_TO_SPARE];
  size_t length;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !text(env, given[1], bytes, sizeof bytes, &length)) return NULL;
  if (length > TEXT_BYTES_MAX) return integral(env, -EFBIG);
  long written;
  do written = pwrite(fd, bytes, length, 0);
  while (written < 0 && errno == EINTR);
  return integral(env, written < 0 ? -errno : written);
}

#if defined(__linux__)
/* read(2) from a pipe. It has room for at least a page, and nothing else is in it: neither call
   waits. */
static int copy_through_pipe(void *mapping, const char *bytes, size_t length) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  long moved = write(ends[1], bytes, length);
  if (moved == (long)length) moved = read(ends[0], mapping, length);
  int result = moved < 0 ? -errno : moved == (long)length ? 0 : -EIO;
  discard(ends[0]);
  discard(ends[1]);
  return result;
}
#endif

/* Has the kernel copy bytes into a shared mapping. If a page is unavailable (a full disk, a
   truncated file), memcpy would raise SIGBUS and end the process, while these calls fail with
   EFAULT. process_vm_writev(2), to this very process, is a single call and needs no descriptors. A
   seccomp(2) filter may forbid it. */
static int copy_into(void *mapping, const char *bytes, size_t length) {
#if defined(__linux__)
  const struct iovec from = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
  const struct iovec to = {.iov_base = mapping, .iov_len = length};
  const long moved = syscall(SYS_process_vm_writev, getpid(), &from, 1UL, &to, 1UL, 0UL);
  if (moved == (long)length) return 0;
  if (moved < 0 && errno == EFAULT) return -EFAULT;
  return copy_through_pipe(mapping, bytes, length);
#else
  return mapping == bytes && length > 0 ? 0 : -ENOSYS;
#endif
}

/* mmap(2), MAP_SHARED: puts text at the start of a file, and NULs after it up to its end. */
napi_value js_mmap(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  char bytes[MAPPED_BYTES + ROOM_TO_SPARE];
  size_t length;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !text(env, given[1], bytes, sizeof bytes, &length)) return NULL;
  long size = lseek(fd, 0, SEEK_END);
  if (size < 0) return integral(env, -errno);
  if (size > MAPPED_BYTES || length > (size_t)size) return integral(env, -EFBIG);
  if (size == 0) return integral(env, 0);
  memset(bytes + length, 0, (size_t)size - length);
  void *mapping;
  int result = mapping_of(env, fd, &mapping);
  if (result == 0) result = copy_into(mapping, bytes, (size_t)size);
  return integral(env, result);
}

/* ftruncate(2). */
napi_value js_ftruncate(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, length, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &length)) return NULL;
  do result = outcome(ftruncate(fd, length));
  while (result == -EINTR);
  return integral(env, result);
}

/* fchmod(2). */
napi_value js_fchmod(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, mode;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &mode)) return NULL;
  return integral(env, outcome(fchmod(fd, (mode_t)mode)));
}
