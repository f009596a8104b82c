/*
 * sendmsg(2) and recvmsg(2) of text with descriptors, SCM_RIGHTS (unix(7)), over a connected stream
 * socket. Neither waits.
 *
 * A received descriptor that the caller does not get is closed, because no other code knows about
 * it.
 */
#include "reuseaddr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Only old systems lack MSG_NOSIGNAL; Node ignores SIGPIPE anyway. */
#if !defined(MSG_NOSIGNAL)
#define MSG_NOSIGNAL 0
#endif

/* RECEIVED_MAX: the kernel's limit (SCM_MAX_FD). With room for that many, every descriptor that
   comes is seen, and can be closed. FOREIGN_BYTES_MAX: room for data that other programs may have
   requested on an inherited socket: credentials, a label. */
enum { TEXT_BYTES_MAX = 4096, SENT_MAX = 8, RECEIVED_MAX = 253, FOREIGN_BYTES_MAX = 1024 };

napi_value js_sendmsg(napi_env env, napi_callback_info info) {
  union {
    struct cmsghdr header; /* for its alignment */
    char room[CMSG_SPACE(SENT_MAX * sizeof(int))];
  } control;
  napi_value given[ARGUMENTS_MAX];
  char bytes[TEXT_BYTES_MAX + ROOM_TO_SPARE];
  uint32_t *descriptors;
  size_t length, count;
  int fd, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !text(env, given[1], bytes, sizeof bytes, &length) ||
      !words(env, given[2], 0, &descriptors, &count))
    return NULL;
  if (length > TEXT_BYTES_MAX || count > SENT_MAX) return integral(env, -EMSGSIZE);
  /* A stream carries descriptors along with bytes. Without any byte, nothing would be sent, and the
     caller would not learn about it. */
  if (length == 0 && count > 0) return integral(env, -EINVAL);

  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  memset(&control, 0, sizeof control);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
  }
  do result = outcome(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
  while (result == -EINTR);
  return integral(env, result);
}

/* The descriptors that have come in one message. */
struct descriptors {
  uint32_t *kept;
  size_t room, count;
  bool surplus; /* There were more than there is room for. */
};

static void take(struct descriptors *descriptors, int fd) {
  if (descriptors->count == descriptors->room) {
    discard(fd);
    descriptors->surplus = true;
    return;
  }
#if !defined(MSG_CMSG_CLOEXEC)
  fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
  descriptors->kept[descriptors->count++] = (uint32_t)fd;
}

static void take_all(struct descriptors *descriptors, struct msghdr *message) {
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = next_header(message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int fd;
    for (size_t i = 0; i < count; i++) {
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      if (header->cmsg_type == SCM_RIGHTS) take(descriptors, fd);
#if defined(__linux__)
      /* SCM_PIDFD, which older headers lack. The process that passed us the socket may have set
         SO_PASSPIDFD on it. */
      else if (header->cmsg_type == 4 && fd >= 0) discard(fd);
#endif
    }
  }
}

/* MSG_CTRUNC: the process had no room for some descriptors (RLIMIT_NOFILE). Half a message is
   worthless, so it is refused like one with too many. */
napi_value js_recvmsg(napi_env env, napi_callback_info info) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(RECEIVED_MAX * sizeof(int)) + FOREIGN_BYTES_MAX];
  } control;
  napi_value given[ARGUMENTS_MAX], received = NULL;
  char bytes[TEXT_BYTES_MAX];
  uint32_t *counted;
  size_t words_count;
  double bytes_max;
  int fd, result, flags = MSG_DONTWAIT;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !integer(env, given[1], 1, TEXT_BYTES_MAX, &bytes_max) ||
      !words(env, given[2], 1, &counted, &words_count))
    return NULL;

#if defined(MSG_CMSG_CLOEXEC)
  flags |= MSG_CMSG_CLOEXEC;
#endif
  struct iovec part = {.iov_base = bytes, .iov_len = (size_t)bytes_max};
  struct msghdr message;
  do {
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    result = outcome(recvmsg(fd, &message, flags));
  } while (result == -EINTR);
  if (result < 0) return integral(env, result);

  struct descriptors descriptors = {.kept = counted + 1, .room = words_count - 1};
  take_all(&descriptors, &message);
  int failure = descriptors.surplus || (message.msg_flags & MSG_CTRUNC) != 0 ? -EMSGSIZE : 0;
  if (failure == 0 && napi_create_string_utf8(env, bytes, (size_t)result, &received) != napi_ok) failure = -ENOMEM;
  size_t registered = 0;
  while (failure == 0 && registered < descriptors.count) {
    failure = own(env, (int)descriptors.kept[registered]);
    if (failure == 0) registered++;
  }
  if (failure == 0) {
    counted[0] = (uint32_t)descriptors.count;
    return received;
  }
  for (size_t i = 0; i < descriptors.count; i++)
    if (i < registered) close_owned(env, (int)descriptors.kept[i]);
    else discard((int)descriptors.kept[i]);
  return integral(env, failure);
}
