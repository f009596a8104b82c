/*
 * The kernel's knowledge of Unix sockets: sock_diag(7), over netlink, and the file of one socket,
 * by ioctl(2).
 */
#include "reuseaddr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/ioctl.h>
#endif

/* ---- one socket ---- */

#if defined(__linux__)
/* Asks for one socket's file over netlink. The kernel answers inside send(2), so the receive never
   needs to wait. */
static int ask_sock_diag(int netlink, uint32_t inode, uint32_t file[2]) {
  struct {
    struct nlmsghdr header;
    struct unix_diag_req body;
  } request;
  union {
    struct nlmsghdr header;
    char bytes[1024];
  } answer;
  memset(&request, 0, sizeof request);
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = UINT32_MAX;
  request.body.udiag_ino = inode;
  request.body.udiag_show = UDIAG_SHOW_VFS;
  request.body.udiag_cookie[0] = request.body.udiag_cookie[1] = UINT32_MAX; /* any */

  int result;
  do result = outcome(send(netlink, &request, sizeof request, 0));
  while (result == -EINTR);
  if (result < 0) return result;
  do result = outcome(recv(netlink, &answer, sizeof answer, MSG_DONTWAIT));
  while (result == -EINTR);
  if (result < 0) return result;

  size_t length = (size_t)result;
  if (length < sizeof answer.header || answer.header.nlmsg_len > length) return -EPROTO;
  length = answer.header.nlmsg_len;
  if (answer.header.nlmsg_type == NLMSG_ERROR) {
    if (length < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EPROTO;
    struct nlmsgerr refused;
    memcpy(&refused, answer.bytes + NLMSG_HDRLEN, sizeof refused);
    /* The caller holds the socket, so it exists. A kernel that does not find it was built without
       unix_diag, or looks in another network namespace. That means "unknown", not "bound to no
       file". */
    return refused.error == -ENOENT || refused.error == 0 ? -ENOSYS : refused.error;
  }
  if (answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return -EPROTO;

  size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct unix_diag_msg));
  while (at + NLA_HDRLEN <= length) {
    struct nlattr attribute;
    struct unix_diag_vfs vfs;
    memcpy(&attribute, answer.bytes + at, sizeof attribute);
    if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > length) return -EPROTO;
    if (attribute.nla_type == UNIX_DIAG_VFS && attribute.nla_len >= NLA_HDRLEN + sizeof vfs) {
      memcpy(&vfs, answer.bytes + at + NLA_HDRLEN, sizeof vfs);
      /* Converts the kernel's own encoding (12 bits of major, 20 of minor) to that of stat(2), so
         that the two can be compared. */
      uint32_t major = vfs.udiag_vfs_dev >> 20, minor = vfs.udiag_vfs_dev & 0xfffff;
      file[0] = (minor & 0xff) | major << 8 | (minor & ~UINT32_C(0xff)) << 12;
      file[1] = vfs.udiag_vfs_ino;
      return 0;
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return -ENOENT;
}
#endif

/* sock_diag(7): fills in device and inode (its lower 32 bits) of the file that the socket with this
   inode is bound to. The path cannot tell: another file may have replaced it. ENOENT: bound to no
   file. ENOSYS: this kernel does not tell. */
napi_value js_sock_diag(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  double inode;
  uint32_t *file;
  size_t count;
  arguments(env, info, given);
  if (!integer(env, given[0], 0, UINT32_MAX, &inode) || !words(env, given[1], 2, &file, &count)) return NULL;
#if defined(__linux__)
  int netlink = outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (netlink < 0) return integral(env, netlink);
  int result = ask_sock_diag(netlink, (uint32_t)inode, file);
  discard(netlink);
  return integral(env, result);
#else
  return integral(env, -ENOSYS);
#endif
}

/* ioctl(2), SIOCUNIXFILE: answers the same for this socket, through a descriptor (O_PATH) of the
   file, regardless of which file has its name now. ENOENT: bound to no file. Requires CAP_NET_ADMIN
   and Linux 4.12.
   It finds the file at once, while sock_diag searches all sockets. */
napi_value js_unix_file(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd;
  uint32_t *file;
  size_t count;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], 2, &file, &count)) return NULL;
#if defined(__linux__)
  const unsigned long unix_file = SIOCPROTOPRIVATE; /* SIOCUNIXFILE: its header conflicts with sys/un.h. */
  const int opened = outcome(ioctl(fd, unix_file));
  if (opened < 0) return integral(env, opened);
  struct identity bound;
  const int result = identify(opened, &bound);
  discard(opened);
  if (result < 0) return integral(env, result);
  file[0] = (uint32_t)bound.device; /* Linux has no wider ones. */
  file[1] = (uint32_t)bound.inode;
  return integral(env, 0);
#else
  return integral(env, -ENOSYS);
#endif
}

/* ---- all sockets ---- */

#if defined(__linux__)
enum { DUMP_CHUNK_BYTES = 32 * 1024, DUMP_BYTES_MAX = 1024 * 1024 * 1024 };

/* Whether these messages end the dump. Puts a failure that the kernel reports into *failure. */
static bool dump_ends(const char *chunk, size_t length, int *failure) {
  struct nlmsghdr header;
  for (size_t at = 0; at + sizeof header <= length; at += NLMSG_ALIGN(header.nlmsg_len)) {
    memcpy(&header, chunk + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) break;
    if (header.nlmsg_type == NLMSG_DONE) return true;
    if (header.nlmsg_type != NLMSG_ERROR) continue;
    struct nlmsgerr refused;
    if (header.nlmsg_len < NLMSG_LENGTH(sizeof refused)) break;
    memcpy(&refused, chunk + at + NLMSG_HDRLEN, sizeof refused);
    /* ENOENT: this kernel was built without unix_diag. */
    *failure = refused.error == -ENOENT ? -ENOSYS : refused.error;
    return true;
  }
  return length == 0;
}

/* Asks for every socket, and collects the kernel's messages unchanged. The caller frees *bytes. */
static int dump_sock_diag(int netlink, uint32_t states, uint32_t show, char **bytes, size_t *length) {
  struct {
    struct nlmsghdr header;
    struct unix_diag_req body;
  } request;
  char chunk[DUMP_CHUNK_BYTES]; /* The kernel fills at most this much at a time, and never waits. */
  memset(&request, 0, sizeof request);
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = states;
  request.body.udiag_show = show;

  int result, failure = 0;
  do result = outcome(send(netlink, &request, sizeof request, 0));
  while (result == -EINTR);
  if (result < 0) return result;
  for (size_t room = 0;;) {
    do result = outcome(recv(netlink, chunk, sizeof chunk, 0));
    while (result == -EINTR);
    if (result < 0) return result;
    if (room - *length < (size_t)result) {
      room = (*length + (size_t)result) * 2;
      char *larger = room > DUMP_BYTES_MAX ? NULL : realloc(*bytes, room);
      if (larger == NULL) return -ENOMEM;
      *bytes = larger;
    }
    memcpy(*bytes + *length, chunk, (size_t)result);
    *length += (size_t)result;
    if (dump_ends(chunk, (size_t)result, &failure)) return failure;
  }
}
#endif

/* sock_diag(7): returns the kernel's messages about all Unix sockets of this network namespace that
   are in one of these states, with the requested attributes, in an ArrayBuffer. ENOSYS: this kernel
   does not tell. */
napi_value js_sock_diag_dump(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  double states, show;
  arguments(env, info, given);
  if (!integer(env, given[0], 0, UINT32_MAX, &states) || !integer(env, given[1], 0, UINT32_MAX, &show)) return NULL;
#if defined(__linux__)
  int netlink = outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (netlink < 0) return integral(env, netlink);
  char *bytes = NULL;
  void *copy = NULL;
  size_t length = 0;
  napi_value messages = NULL;
  int result = dump_sock_diag(netlink, (uint32_t)states, (uint32_t)show, &bytes, &length);
  discard(netlink);
  if (result == 0 && napi_create_arraybuffer(env, length, &copy, &messages) != napi_ok) result = -ENOMEM;
  if (result == 0) memcpy(copy, bytes, length);
  free(bytes);
  return result < 0 ? integral(env, result) : messages;
#else
  return integral(env, -ENOSYS);
#endif
}
