/*
 * Shared by every file of the addon: checked arguments, results for JavaScript, and the functions
 * of the other files.
 */
#ifndef REUSEADDR_H
#define REUSEADDR_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <node_api.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Node-API truncates a text that is too long at a whole character. With this much spare room, a
   truncated text is still longer than the limit, and is refused for its length like any other. */
enum { ROOM_TO_SPARE = 8, ARGUMENTS_MAX = 4 };

/* JavaScript's number for AT_FDCWD, whose number differs between systems. */
enum { CURRENT_DIRECTORY = -100 };

/* Missing arguments become undefined, which the type checks below refuse. */
static inline void arguments(napi_env env, napi_callback_info info, napi_value values[ARGUMENTS_MAX]) {
  size_t count = ARGUMENTS_MAX;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
}

static inline bool refuse(napi_env env, const char *expected) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", expected);
  return false;
}

/* napi_get_value_int32 takes NaN for 0, and 2 ** 32 + 1 for 1: both may be open descriptors. */
static inline bool integer(napi_env env, napi_value value, double min, double max, double *number) {
  if (napi_get_value_double(env, value, number) != napi_ok || !(*number >= min && *number <= max) ||
      *number != (double)(int64_t)*number)
    return refuse(env, "expected an integer in range");
  return true;
}

static inline bool whole(napi_env env, napi_value value, int *number) {
  double wide;
  if (!integer(env, value, INT_MIN, INT_MAX, &wide)) return false;
  *number = (int)wide;
  return true;
}

static inline bool text(napi_env env, napi_value value, char *bytes, size_t room, size_t *length) {
  if (napi_get_value_string_utf8(env, value, bytes, room, length) != napi_ok) return refuse(env, "expected a string");
  return true;
}

/* The name of a file, as the kernel takes it. */
struct name {
  char bytes[PATH_MAX + ROOM_TO_SPARE];
  size_t length;
};

/* Reads a name. Sets `failure` for a text that cannot be the name of a file, unless it is set
   already. */
static inline bool path_name(napi_env env, napi_value value, struct name *name, int *failure) {
  if (!text(env, value, name->bytes, sizeof name->bytes, &name->length)) return false;
  if (*failure != 0) return true;
  if (name->length >= PATH_MAX) *failure = -ENAMETOOLONG;
  /* A NUL in the middle would make it another, shorter name. */
  else if (strlen(name->bytes) != name->length) *failure = -EINVAL;
  return true;
}

static inline bool words(napi_env env, napi_value value, size_t wanted, uint32_t **array, size_t *count) {
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, count, (void **)array, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || *count < wanted)
    return refuse(env, "expected a Uint32Array that is long enough");
  return true;
}

static inline napi_value integral(napi_env env, int64_t number) {
  napi_value value = NULL;
  napi_create_int64(env, number, &value);
  return value;
}

/* Returns the result of a system call, or its errno as a negative number. */
static inline int outcome(long returned) { return returned < 0 ? -errno : (int)returned; }

/* CMSG_NXTHDR without libc, see cmsg(3). In glibc it may be a call of __cmsg_nxthdr, which musl
   does not have, and the addon would not load there. */
static inline struct cmsghdr *next_header(const struct msghdr *message, const struct cmsghdr *header) {
  if (header->cmsg_len < sizeof *header) return NULL;
  const size_t step = CMSG_SPACE(header->cmsg_len - CMSG_LEN(0));
  const size_t left = (size_t)((char *)message->msg_control + message->msg_controllen - (char *)header);
  return step > left || left - step < sizeof *header ? NULL : (struct cmsghdr *)((char *)header + step);
}

/* owned.c */

/* Registers a descriptor that JavaScript gets, so that it is closed at the end of its environment
   at the latest. Returns it, or a negative errno, which may be its argument. After an errno it is
   closed. */
int owned(napi_env env, int fd);
/* Does the same, but returns 0 or a negative errno. After an errno, the descriptor still belongs to
   the caller. */
int own(napi_env env, int fd);
/* Closes a registered one. EBADF: it is not registered, or other code has closed it. */
int close_owned(napi_env env, int fd);
/* The greatest length of a file that is written through a mapping. */
enum { MAPPED_BYTES = 16 * 1024 };
/* Returns 0 and the shared mapping of a registered file, MAPPED_BYTES long. EBADF: it is not
   registered. */
int mapping_of(napi_env env, int fd, void **mapping);
/* Closes a descriptor that JavaScript has never seen. */
void discard(int fd);
void close_at_end(napi_env env);
napi_value js_close(napi_env env, napi_callback_info info);
napi_value js_give(napi_env env, napi_callback_info info);
napi_value js_owns(napi_env env, napi_callback_info info);
napi_value js_see_inherited(napi_env env, napi_callback_info info);
napi_value js_mark_inherited(napi_env env, napi_callback_info info);
napi_value js_is_inherited(napi_env env, napi_callback_info info);
napi_value js_pidfd_inode(napi_env env, napi_callback_info info);

/* path.c */
napi_value js_openat(napi_env env, napi_callback_info info);
napi_value js_unlinkat(napi_env env, napi_callback_info info);
napi_value js_linkat(napi_env env, napi_callback_info info);
napi_value js_renameat2(napi_env env, napi_callback_info info);
napi_value js_fchmodat(napi_env env, napi_callback_info info);
napi_value js_fchownat(napi_env env, napi_callback_info info);
napi_value js_readlink(napi_env env, napi_callback_info info);
napi_value js_realpath(napi_env env, napi_callback_info info);
napi_value js_readdir(napi_env env, napi_callback_info info);
napi_value js_pread(napi_env env, napi_callback_info info);
napi_value js_pwrite(napi_env env, napi_callback_info info);
napi_value js_mmap(napi_env env, napi_callback_info info);
napi_value js_ftruncate(napi_env env, napi_callback_info info);
napi_value js_fchmod(napi_env env, napi_callback_info info);

/* message.c */
napi_value js_sendmsg(napi_env env, napi_callback_info info);
napi_value js_recvmsg(napi_env env, napi_callback_info info);

/* notify.c */
napi_value js_notify_socket(napi_env env, napi_callback_info info);
napi_value js_receive_notification(napi_env env, napi_callback_info info);

/* sock_diag.c */
napi_value js_sock_diag(napi_env env, napi_callback_info info);
napi_value js_sock_diag_dump(napi_env env, napi_callback_info info);
napi_value js_unix_file(napi_env env, napi_callback_info info);

/* stat.c */

/* The identity of a file or socket among all that are open. */
struct identity {
  uint64_t device, inode;
};

int identify(int fd, struct identity *identity);
napi_value js_fstat(napi_env env, napi_callback_info info);
napi_value js_fstatat(napi_env env, napi_callback_info info);

/* wait.c */
napi_value js_wait_flock(napi_env env, napi_callback_info info);
napi_value js_wait_poll(napi_env env, napi_callback_info info);

#endif
