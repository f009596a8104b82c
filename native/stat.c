/*
 * fstat(2), and fstatat(2) without following a symlink. node:fs makes an object with four Dates of
 * each answer, and takes three times as long. A claim makes ten such calls.
 */
#include "reuseaddr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#if defined(__linux__)
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The words for JavaScript: three numbers of 64 bits and then four of 32. */
struct status {
  uint64_t device, inode, size;
  uint32_t mode, links, user, group;
};

enum { STATUS_WORDS = sizeof(struct status) / sizeof(uint32_t) };

static void fill(uint32_t *filled, const struct stat *found) {
  struct status status = {
      .device = (uint64_t)found->st_dev,
      .inode = (uint64_t)found->st_ino,
      .size = (uint64_t)found->st_size,
      .mode = (uint32_t)found->st_mode,
      .links = (uint32_t)found->st_nlink,
      .user = found->st_uid,
      .group = found->st_gid,
  };
  memcpy(filled, &status, sizeof status);
}

/* Through syscall(2): glibc has statx since 2.28 and fstatat since 2.33, musl has statx since
   1.2.4. The kernel's struct stat is that of glibc and musl on the processors that Node runs on. An
   empty name means the file of the descriptor. */
static int ask(int directory, const char *name, uint32_t *filled) {
#if defined(__linux__) && defined(SYS_statx)
  const int flags = name[0] == '\0' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  struct statx found;
  int result = outcome(syscall(SYS_statx, directory, name, flags, STATX_BASIC_STATS, &found));
  if (result == 0) {
    const uint64_t major = found.stx_dev_major, minor = found.stx_dev_minor;
    struct status status = {
        /* makedev(3), as in glibc and musl. */
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
  /* None of these is an answer: the kernel has no statx(2), a seccomp(2) filter does not know it,
     or the file system refuses it. */
  if (result != -ENOSYS && result != -EPERM && result != -EINVAL && result != -EOPNOTSUPP) return result;
#if defined(SYS_newfstatat)
  struct stat older;
  result = outcome(syscall(SYS_newfstatat, directory, name, &older, flags));
  if (result == 0) fill(filled, &older);
#endif
  return result;
#else
  struct stat found;
  int result = outcome(name[0] == '\0' ? fstat(directory, &found) : fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW));
  if (result == 0) fill(filled, &found);
  return result;
#endif
}

/* fstatat(2): the status of a name in a directory. A symlink is not followed. */
napi_value js_fstatat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct name name;
  size_t count;
  uint32_t *filled;
  int directory, result = 0;
  arguments(env, info, given);
  if (!whole(env, given[0], &directory) || !path_name(env, given[1], &name, &result) ||
      !words(env, given[2], STATUS_WORDS, &filled, &count))
    return NULL;
  if (result == 0 && name.length == 0) result = -ENOENT;
  if (directory == CURRENT_DIRECTORY) directory = AT_FDCWD;
  else if (directory < 0) result = -EBADF;
  return integral(env, result != 0 ? result : ask(directory, name.bytes, filled));
}

/* fstat(2). */
napi_value js_fstat(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  size_t count;
  uint32_t *filled;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], STATUS_WORDS, &filled, &count)) return NULL;
  /* With AT_FDCWD, an empty name would mean the directory. */
  return integral(env, fd < 0 ? -EBADF : ask(fd, "", filled));
}

/* ENOSYS: this system cannot tell. */
int identify(int fd, struct identity *identity) {
  uint32_t filled[STATUS_WORDS];
  struct status status;
  const int result = fd < 0 ? -EBADF : ask(fd, "", filled);
  if (result < 0) return result;
  memcpy(&status, filled, sizeof status);
  identity->device = status.device;
  identity->inode = status.inode;
  return 0;
}
