/*
 * The receiving end of sd_notify(3): a datagram socket on which the kernel says of each message who sent it (SO_PASSCRED, unix(7)).
 * A sender connects one of these too, and uses sendmsg.
 */
#include "reuseaddr.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* DESCRIPTORS_MAX: the kernel lets nobody send more (SCM_MAX_FD). FOREIGN_BYTES_MAX: a label. */
enum { TEXT_BYTES_MAX = 4096, DESCRIPTORS_MAX = 253, FOREIGN_BYTES_MAX = 1024 };

/* socket(2), of datagrams, close-on-exec and non-blocking, and setsockopt(2) before anybody can send to it. */
napi_value js_notify_socket(napi_env env, napi_callback_info info) {
  (void)info;
#if defined(__linux__)
  const int yes = 1;
  int fd = outcome(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd < 0) return integral(env, fd);
  int result = outcome(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
  if (result < 0) close(fd);
  return integral(env, result < 0 ? result : fd);
#else
  return integral(env, -ENOSYS);
#endif
}

/* recvmsg(2) of one datagram, without waiting: its text, and pid, uid and gid of who sent it. Without them it says pid 0, nobody's.
   What is longer than a message may be is cut. Descriptors that come along (FDSTORE=1) are closed: nobody here wants them. */
napi_value js_receive_notification(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], received = NULL;
  uint32_t *sender;
  size_t count;
  int fd, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], 3, &sender, &count)) return NULL;
  memset(sender, 0, 3 * sizeof *sender);
#if defined(__linux__)
  union {
    struct cmsghdr header; /* for its alignment */
    char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int)) + FOREIGN_BYTES_MAX];
  } control;
  char bytes[TEXT_BYTES_MAX];
  struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
  struct msghdr message;
  do {
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    result = outcome(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  } while (result == -EINTR);
  if (result < 0) return integral(env, result);

  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
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
      close(surplus);
    }
  }
  if (napi_create_string_utf8(env, bytes, (size_t)result, &received) != napi_ok) return integral(env, -ENOMEM);
  return received;
#else
  return integral(env, -ENOSYS);
#endif
}
