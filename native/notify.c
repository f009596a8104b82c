/*
 * The receiving end of sd_notify(3): a datagram socket on which the kernel names the sender of each
 * message (SO_PASSCRED, unix(7)). A sender also connects such a socket, and uses sendmsg.
 */
#include "reuseaddr.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* DESCRIPTORS_MAX: the kernel's limit (SCM_MAX_FD). FOREIGN_BYTES_MAX: room for a label. */
enum { TEXT_BYTES_MAX = 4096, DESCRIPTORS_MAX = 253, FOREIGN_BYTES_MAX = 1024 };

/* How many messages one call reads at most: any local user may send without end. */
enum { MESSAGES_MAX = 64 };

/* socket(2), of datagrams, close-on-exec and non-blocking, and setsockopt(2) before any process can
   send to it. */
napi_value js_notify_socket(napi_env env, napi_callback_info info) {
  (void)info;
#if defined(__linux__)
  const int yes = 1;
  int fd = outcome(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd < 0) return integral(env, fd);
  int result = outcome(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
  if (result < 0) discard(fd);
  return integral(env, owned(env, result < 0 ? result : fd));
#else
  return integral(env, -ENOSYS);
#endif
}

#if defined(__linux__)
/* recvmsg(2) of one datagram, without waiting. Fills in pid, uid and gid of its sender, or zeros if
   the kernel does not tell. A message that is too long is truncated. Descriptors that come along
   (FDSTORE=1) are closed, because they have no use here. */
static int receive(int fd, char bytes[TEXT_BYTES_MAX], uint32_t sender[3]) {
  union {
    struct cmsghdr header; /* for its alignment */
    char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int)) + FOREIGN_BYTES_MAX];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = TEXT_BYTES_MAX};
  struct msghdr message;
  int result;
  memset(sender, 0, 3 * sizeof *sender);
  do {
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    result = outcome(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  } while (result == -EINTR);
  if (result < 0) return result;

  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = next_header(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    const size_t length = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_type == SCM_CREDENTIALS && length >= sizeof(struct ucred)) {
      struct ucred from;
      memcpy(&from, CMSG_DATA(header), sizeof from);
      sender[0] = (uint32_t)from.pid;
      sender[1] = from.uid;
      sender[2] = from.gid;
    }
    for (size_t i = 0; header->cmsg_type == SCM_RIGHTS && i < length / sizeof(int); i++) {
      int surplus;
      memcpy(&surplus, CMSG_DATA(header) + i * sizeof surplus, sizeof surplus);
      discard(surplus);
    }
  }
  return result;
}

static bool contains(const uint32_t *pids, size_t count, uint32_t pid) {
  for (size_t i = 0; i < count; i++)
    if (pids[i] == pid) return true;
  return false;
}
#endif

/* Returns the text of the next message of these processes. Messages of all others are dropped
   unread. -EAGAIN: there was no message. -EBUSY: only messages of others came, and there may be
   more. */
napi_value js_receive_notification(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], received = NULL;
  uint32_t *sender, *pids;
  size_t room, count;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], 3, &sender, &room) || !words(env, given[2], 0, &pids, &count)) return NULL;
#if defined(__linux__)
  char bytes[TEXT_BYTES_MAX];
  for (int i = 0; i < MESSAGES_MAX; i++) {
    int length = receive(fd, bytes, sender);
    if (length < 0) return integral(env, length == -EAGAIN && i > 0 ? -EBUSY : length);
    if (!contains(pids, count, sender[0])) continue;
    if (napi_create_string_utf8(env, bytes, (size_t)length, &received) != napi_ok) return integral(env, -ENOMEM);
    return received;
  }
  return integral(env, -EBUSY);
#else
  return integral(env, -ENOSYS);
#endif
}
