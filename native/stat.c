/*
 * lstat(2) and fstat(2), by statx(2): node:fs has them too, but makes an object with four Dates of each answer, and takes three times
 * as long. A claim asks ten times.
 */
#include "reuseaddr.h"

#include <fcntl.h>
#include <string.h>

#if defined(__linux__)
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* What JavaScript reads, three numbers of 64 bits and then four of 32. */
struct status {
  uint64_t device, inode, size;
  uint32_t mode, links, user, group;
};

enum { STATUS_WORDS = sizeof(struct status) / sizeof(uint32_t) };

#if defined(__linux__) && defined(SYS_statx)
/* Through syscall(2): the wrapper is in glibc since 2.28 and in musl since 1.2.4 only, and lstat itself in glibc since 2.33. */
static int ask_statx(int directory, const char *path, int flags, uint32_t *filled) {
  struct statx found;
  int result = outcome(syscall(SYS_statx, directory, path, flags, STATX_BASIC_STATS, &found));
  /* None of these is an answer: the kernel has no statx(2), or a seccomp(2) filter doesn't know it, or the file system won't. */
  if (result == -EPERM || result == -EINVAL || result == -EOPNOTSUPP) return -ENOSYS;
  if (result < 0) return result;
  const uint64_t major = found.stx_dev_major, minor = found.stx_dev_minor;
  struct status status = {
      /* makedev(3), as glibc and musl have it, and so node:fs. */
      .device = (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~UINT64_C(0xff)) << 12 | (major & ~UINT64_C(0xfff)) << 32,
      .inode = found.stx_ino,
      .size = found.stx_size,
      .mode = found.stx_mode,
      .links = found.stx_nlink,
      .user = found.stx_uid,
      .group = found.stx_gid,
  };
  memcpy(filled, &status, sizeof status);
  return 0;
}
#endif

/* lstat(2). ENOSYS: ask node:fs. */
napi_value js_lstat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  char path[PATH_MAX + ROOM_TO_SPARE];
  size_t length, count;
  uint32_t *filled;
  arguments(env, info, given);
  if (!text(env, given[0], path, sizeof path, &length) || !words(env, given[1], STATUS_WORDS, &filled, &count)) return NULL;
  if (length >= PATH_MAX) return integral(env, -ENAMETOOLONG);
  /* A NUL in the middle would make another, shorter path of it. */
  if (strlen(path) != length) return integral(env, -EINVAL);
#if defined(__linux__) && defined(SYS_statx)
  return integral(env, ask_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, filled));
#else
  return integral(env, -ENOSYS);
#endif
}

/* fstat(2), likewise. */
napi_value js_fstat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  size_t count;
  uint32_t *filled;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], STATUS_WORDS, &filled, &count)) return NULL;
#if defined(__linux__) && defined(SYS_statx)
  /* With AT_FDCWD, an empty path would mean the directory. */
  if (fd < 0) return integral(env, -EBADF);
  return integral(env, ask_statx(fd, "", AT_EMPTY_PATH, filled));
#else
  return integral(env, -ENOSYS);
#endif
}
