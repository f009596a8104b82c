/*
 * The system calls that Node lacks: one function for each, and no policy.
 *
 * A function returns the result of the system call, or the errno as a negative number. It throws
 * only a TypeError, for an argument of the wrong type. The module keeps no state between calls
 * except the waits (wait.c) and the table of open descriptors (owned.c). So every thread can load
 * it, any number of times.
 *
 * The library is linked against nothing, not even libc: it uses the libc that the process has
 * loaded, so one file serves glibc and musl. Therefore every function used here must exist in both,
 * with the same layout of its structures, and with a meaning that never changed: an unversioned
 * name is bound to glibc's oldest version of it. Newer functions go through syscall(2).
 */
#include "reuseaddr.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__APPLE__) || defined(__FreeBSD__)
#include <sys/ucred.h>
#endif

/* ---- files ---- */

/* flock(2). With LOCK_NB only a network file system waits at all, so EINTR is retried. Waits:
   wait.c. */
static napi_value js_flock(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, operation, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &operation)) return NULL;
  do result = outcome(flock(fd, operation));
  while (result == -EINTR);
  return integral(env, result);
}

/* A constant by its name: its number differs between systems. */
struct constant {
  const char *name;
  int number;
};

static bool constant(napi_env env, napi_value value, const struct constant *known, size_t count, int *number) {
  char name[64];
  size_t length;
  if (!text(env, value, name, sizeof name, &length)) return false;
  for (size_t i = 0; i < count; i++) {
    *number = known[i].number;
    if (strcmp(known[i].name, name) == 0) return true;
  }
  return refuse(env, "expected the name of a constant");
}

/* fcntl(2). None of these commands waits. */
static napi_value js_fcntl(napi_env env, napi_callback_info info) {
  static const struct constant commands[] = {
      {"F_DUPFD_CLOEXEC", F_DUPFD_CLOEXEC}, {"F_GETFD", F_GETFD}, {"F_SETFD", F_SETFD},
      {"F_GETFL", F_GETFL},                 {"F_SETFL", F_SETFL},
  };
  napi_value given[ARGUMENTS_MAX];
  int fd, command, argument;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[2], &argument) ||
      !constant(env, given[1], commands, sizeof commands / sizeof commands[0], &command))
    return NULL;
  const int result = outcome(fcntl(fd, command, argument));
  return integral(env, command == F_DUPFD_CLOEXEC ? owned(env, result) : result);
}

/* ---- sockets ---- */

static int new_socket(int type) {
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
  return outcome(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
#else
  int fd = outcome(socket(AF_UNIX, type, 0));
  if (fd < 0) return fd;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
    int failure = -errno;
    discard(fd);
    return failure;
  }
  return fd;
#endif
}

/* unix(7): a pathname followed by a NUL, or, after a leading NUL, an abstract name of exactly its
   length. Nothing is ever truncated. Linux would also accept a pathname of 108 bytes without a NUL,
   which other programs then misread. */
static bool socket_name(napi_env env, napi_value value, struct sockaddr_un *address, socklen_t *size, int *failure) {
  char name[sizeof address->sun_path + 1 + ROOM_TO_SPARE];
  size_t length;
  if (!text(env, value, name, sizeof name, &length)) return false;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  bool abstract = length > 0 && name[0] == '\0';
  size_t length_max = abstract ? sizeof address->sun_path : sizeof address->sun_path - 1;
  *failure = 0;
  if (length == 0) *failure = -EINVAL;
  else if (length > length_max) *failure = -ENAMETOOLONG;
  else if (!abstract && strlen(name) != length) *failure = -EINVAL;
#if !defined(__linux__)
  else if (abstract) *failure = -EINVAL;
#endif
  if (*failure != 0) return true;
  memcpy(address->sun_path, name, length);
  *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
#if !defined(__linux__) && !defined(__sun)
  address->sun_len = (uint8_t)*size;
#endif
  return true;
}

/* socket(2), of the type with this number. Close-on-exec from its first moment: a child that kept
   it would keep the address alive. */
static napi_value js_socket(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int type;
  arguments(env, info, given);
  if (!whole(env, given[0], &type)) return NULL;
  /* Only the low bits: the others are flags, or a type that does not exist. */
  if (type < 1 || type > 0xf) return integral(env, -EINVAL);
  return integral(env, owned(env, new_socket(type)));
}

/* Makes a call with a descriptor and the name of a socket. */
static napi_value with_name(napi_env env, napi_callback_info info,
                            int (*call)(int, const struct sockaddr *, socklen_t)) {
  napi_value given[ARGUMENTS_MAX];
  struct sockaddr_un address;
  socklen_t size;
  int fd, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !socket_name(env, given[1], &address, &size, &result)) return NULL;
  if (result != 0) return integral(env, result);
  do result = outcome(call(fd, (struct sockaddr *)&address, size));
  while (result == -EINTR);
  return integral(env, result);
}

/* bind(2). It waits interruptibly for the socket's own lock, and has had no effect if it fails with
   EINTR. */
static napi_value js_bind(napi_env env, napi_callback_info info) {
  return with_name(env, info, bind);
}

/* listen(2). */
static napi_value js_listen(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, backlog;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &backlog)) return NULL;
  return integral(env, outcome(listen(fd, backlog)));
}

/* connect(2). A non-blocking socket has its answer at once: EAGAIN if the queue is full, where TCP
   would wait. */
static napi_value js_connect(napi_env env, napi_callback_info info) {
  return with_name(env, info, connect);
}

/* shutdown(2). */
static napi_value js_shutdown(napi_env env, napi_callback_info info) {
  static const struct constant ways[] = {{"SHUT_WR", SHUT_WR}, {"SHUT_RDWR", SHUT_RDWR}};
  napi_value given[ARGUMENTS_MAX];
  int fd, how;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !constant(env, given[1], ways, sizeof ways / sizeof ways[0], &how)) return NULL;
  return integral(env, outcome(shutdown(fd, how)));
}

/* connect(2) with a datagram socket. The kernel looks the name up and then refuses the type
   (EPROTOTYPE), before a listener can see anything of it. A live datagram socket is connected to,
   and sees nothing either. If no process is bound to the file, it fails with ECONNREFUSED. This
   does not work for abstract names: each type of socket has names of its own, so a live one would
   give ECONNREFUSED too. */
static napi_value js_probe(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct sockaddr_un address;
  socklen_t size;
  int result;
  arguments(env, info, given);
  if (!socket_name(env, given[0], &address, &size, &result)) return NULL;
  if (result != 0) return integral(env, result);
  if (address.sun_path[0] == '\0') return integral(env, -EOPNOTSUPP);
  int fd = new_socket(SOCK_DGRAM);
  if (fd < 0) return integral(env, fd);
  do result = outcome(connect(fd, (struct sockaddr *)&address, size));
  while (result == -EINTR);
  discard(fd);
  return integral(env, result);
}

/* getsockname(2) of a Unix socket: a pathname, or a NUL and an abstract name of exactly its length,
   or nothing. */
static napi_value js_getsockname(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], name = NULL;
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
  memset(&address, 0, sizeof address);
  int result = outcome(getsockname(fd, (struct sockaddr *)&address, &size));
  if (result < 0) return integral(env, result);
  if (address.sun_family != AF_UNIX) return integral(env, -EAFNOSUPPORT);
  const size_t before = offsetof(struct sockaddr_un, sun_path);
  size_t length = size < before ? 0 : size - before;
  /* Linux counts a NUL after a pathname of 108 bytes, for which sun_path has no room. */
  if (length > sizeof address.sun_path) length = sizeof address.sun_path;
  if (length > 0 && address.sun_path[0] != '\0') length = strnlen(address.sun_path, length);
#if !defined(__linux__)
  /* This system has no abstract names; an unbound socket may have a name of NULs. */
  else length = 0;
#endif
  napi_create_string_utf8(env, address.sun_path, length, &name);
  return name;
}

/* getsockopt(2), SOL_SOCKET, of options that are an int. */
static napi_value js_getsockopt(napi_env env, napi_callback_info info) {
  static const struct constant options[] = {{"SO_TYPE", SO_TYPE}, {"SO_ACCEPTCONN", SO_ACCEPTCONN}};
  napi_value given[ARGUMENTS_MAX];
  int fd, option, set = 0;
  socklen_t size = sizeof set;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !constant(env, given[1], options, sizeof options / sizeof options[0], &option)) return NULL;
  int result = outcome(getsockopt(fd, SOL_SOCKET, option, &set, &size));
  return integral(env, result < 0 ? result : set);
}

/* ---- peers ---- */

/* SO_PEERCRED (unix(7)), LOCAL_PEERCRED: pid, uid and gid of the other end as of its connect(2) or
   listen(2). pid 0: it is in a PID namespace that is invisible here. A socket without a peer
   reports -1, which is not a uid. */
static napi_value js_peer_credentials(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  uint32_t *credentials;
  size_t count;
  int fd, result;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], 3, &credentials, &count)) return NULL;
#if defined(__linux__)
  struct ucred peer;
  socklen_t size = sizeof peer;
  result = outcome(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  if (result == 0 && peer.uid == (uid_t)-1) result = -ENOTCONN;
  if (result == 0) {
    credentials[0] = (uint32_t)peer.pid;
    credentials[1] = peer.uid;
    credentials[2] = peer.gid;
  }
#elif defined(__APPLE__) || defined(__FreeBSD__)
#if !defined(SOL_LOCAL)
#define SOL_LOCAL 0
#endif
  struct xucred peer;
  socklen_t size = sizeof peer;
  memset(&peer, 0, sizeof peer);
  result = outcome(getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &peer, &size));
  if (result == 0 && (peer.cr_version != XUCRED_VERSION || peer.cr_ngroups < 1)) result = -ENOTCONN;
  pid_t pid = 0;
#if defined(LOCAL_PEERPID)
  size = sizeof pid;
  if (result == 0) result = outcome(getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &size));
#endif
  if (result == 0) {
    credentials[0] = (uint32_t)pid;
    credentials[1] = peer.cr_uid;
    credentials[2] = peer.cr_groups[0];
  }
#else
  result = -ENOSYS;
#endif
  return integral(env, result);
}

/* SO_PEERGROUPS: the supplementary groups of the other end. Returns how many. ERANGE: the array is
   too short. */
static napi_value js_peer_groups(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  uint32_t *groups;
  size_t count;
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !words(env, given[1], 0, &groups, &count)) return NULL;
#if defined(__linux__) && defined(SO_PEERGROUPS)
  if (count > INT_MAX / sizeof *groups) count = INT_MAX / sizeof *groups;
  socklen_t size = (socklen_t)(count * sizeof *groups);
  int result = outcome(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size));
  return integral(env, result < 0 ? result : (int64_t)(size / sizeof *groups));
#else
  return integral(env, -ENOSYS);
#endif
}

/* pidfd_send_signal(2) to the very process that made the connection (SO_PEERPIDFD), and not to a
   later one with its pid. Signal 0 only asks. ESRCH: it has ended. ENOSYS: the kernel does not know
   it (Linux before 6.5). */
static napi_value js_signal_peer(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, signal;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[1], &signal)) return NULL;
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
  /* Older headers lack the names. The numbers are those of these processors. */
  const int so_peerpidfd = 77, pidfd_send_signal = 424;
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  int result = outcome(getsockopt(fd, SOL_SOCKET, so_peerpidfd, &pidfd, &size));
  if (result < 0) return integral(env, result == -ENOPROTOOPT ? -ENOSYS : result);
  struct pollfd end = {.fd = pidfd, .events = POLLIN};
  /* A process that no parent has waited for yet takes signals, too. */
  result = poll(&end, 1, 0) > 0 ? -ESRCH : outcome(syscall(pidfd_send_signal, pidfd, signal, NULL, 0));
  discard(pidfd);
  return integral(env, result);
#else
  return integral(env, -ENOSYS);
#endif
}

/* ---- users and groups ---- */

enum { NAME_BYTES_MAX = 1024, ENTRY_BYTES_MIN = 4096, ENTRY_BYTES_MAX = 16 * 1024 * 1024 };

/* One question to the user database: a user's name, a group's name, or a uid. */
struct entry {
  enum { USER_BY_NAME, GROUP_BY_NAME, USER_BY_ID } question;
  char name[NAME_BYTES_MAX + ROOM_TO_SPARE]; /* asked for, or found */
  uint32_t id; /* asked for, or found */
};

/* Returns 0 if found. ERANGE: the buffer is too small for the entry (a group's members, for
   instance). */
static int look_up_within(struct entry *entry, char *room, size_t size) {
  struct passwd user, *user_found = NULL;
  struct group group, *group_found = NULL;
  int failure;
  if (entry->question == GROUP_BY_NAME) {
    failure = getgrnam_r(entry->name, &group, room, size, &group_found);
    if (group_found != NULL) entry->id = group.gr_gid;
  } else if (entry->question == USER_BY_NAME) {
    failure = getpwnam_r(entry->name, &user, room, size, &user_found);
    if (user_found != NULL) entry->id = user.pw_uid;
  } else {
    failure = getpwuid_r(entry->id, &user, room, size, &user_found);
    if (user_found != NULL) {
      size_t length = strlen(user.pw_name);
      if (length > NAME_BYTES_MAX) return ENAMETOOLONG;
      memcpy(entry->name, user.pw_name, length + 1);
    }
  }
  if (user_found != NULL || group_found != NULL) return 0;
  /* "Not found" is reported as 0, ENOENT or ESRCH, depending on the database (getpwnam(3)). */
  return failure == 0 || failure == ESRCH ? ENOENT : failure;
}

static int look_up(struct entry *entry) {
  for (size_t size = ENTRY_BYTES_MIN; size <= ENTRY_BYTES_MAX;) {
    char *room = malloc(size);
    if (room == NULL) return -ENOMEM;
    int failure = look_up_within(entry, room, size);
    free(room);
    if (failure == ERANGE) size *= 4;
    else if (failure != EINTR) return -failure;
  }
  return -ERANGE;
}

static napi_value look_up_name(napi_env env, napi_callback_info info, int question) {
  napi_value given[ARGUMENTS_MAX];
  struct entry entry = {.question = question};
  size_t length;
  arguments(env, info, given);
  if (!text(env, given[0], entry.name, sizeof entry.name, &length)) return NULL;
  if (length > NAME_BYTES_MAX || strlen(entry.name) != length) return integral(env, -ENOENT);
  int result = look_up(&entry);
  return integral(env, result < 0 ? result : (int64_t)entry.id);
}

/* getpwnam(3): returns a user's id. */
static napi_value js_getpwnam(napi_env env, napi_callback_info info) { return look_up_name(env, info, USER_BY_NAME); }

/* getgrnam(3): returns a group's id. */
static napi_value js_getgrnam(napi_env env, napi_callback_info info) { return look_up_name(env, info, GROUP_BY_NAME); }

/* getpwuid(3): returns a user's name, as a string. */
static napi_value js_getpwuid(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX], name = NULL;
  struct entry entry = {.question = USER_BY_ID};
  double uid;
  arguments(env, info, given);
  if (!integer(env, given[0], 0, UINT32_MAX, &uid)) return NULL;
  entry.id = (uint32_t)uid;
  int result = look_up(&entry);
  if (result < 0) return integral(env, result);
  napi_create_string_utf8(env, entry.name, NAPI_AUTO_LENGTH, &name);
  return name;
}

/* geteuid(2). Deno permits process.geteuid only with a flag. */
static napi_value js_geteuid(napi_env env, napi_callback_info info) {
  (void)info;
  return integral(env, geteuid());
}

/* ---- the module ---- */

#define FUNCTION(js_name, c_name) {.utf8name = js_name, .method = c_name, .attributes = napi_enumerable}

static const napi_property_descriptor functions[] = {
    FUNCTION("flock", js_flock),
    FUNCTION("waitFlock", js_wait_flock),
    FUNCTION("waitPoll", js_wait_poll),
    FUNCTION("fstat", js_fstat),
    FUNCTION("fstatat", js_fstatat),
    FUNCTION("openat", js_openat),
    FUNCTION("unlinkat", js_unlinkat),
    FUNCTION("linkat", js_linkat),
    FUNCTION("renameat2", js_renameat2),
    FUNCTION("fchmodat", js_fchmodat),
    FUNCTION("fchownat", js_fchownat),
    FUNCTION("readlink", js_readlink),
    FUNCTION("realpath", js_realpath),
    FUNCTION("readdir", js_readdir),
    FUNCTION("pread", js_pread),
    FUNCTION("pwrite", js_pwrite),
    FUNCTION("mmap", js_mmap),
    FUNCTION("ftruncate", js_ftruncate),
    FUNCTION("fchmod", js_fchmod),
    FUNCTION("close", js_close),
    FUNCTION("give", js_give),
    FUNCTION("owns", js_owns),
    FUNCTION("seeInherited", js_see_inherited),
    FUNCTION("markInherited", js_mark_inherited),
    FUNCTION("isInherited", js_is_inherited),
    FUNCTION("pidfdInode", js_pidfd_inode),
    FUNCTION("fcntl", js_fcntl),
    FUNCTION("socket", js_socket),
    FUNCTION("bind", js_bind),
    FUNCTION("listen", js_listen),
    FUNCTION("connect", js_connect),
    FUNCTION("shutdown", js_shutdown),
    FUNCTION("getsockname", js_getsockname),
    FUNCTION("getsockopt", js_getsockopt),
    FUNCTION("sendmsg", js_sendmsg),
    FUNCTION("recvmsg", js_recvmsg),
    FUNCTION("notifySocket", js_notify_socket),
    FUNCTION("receiveNotification", js_receive_notification),
    FUNCTION("probe", js_probe),
    FUNCTION("sockDiag", js_sock_diag),
    FUNCTION("sockDiagDump", js_sock_diag_dump),
    FUNCTION("unixFile", js_unix_file),
    FUNCTION("peerCredentials", js_peer_credentials),
    FUNCTION("peerGroups", js_peer_groups),
    FUNCTION("signalPeer", js_signal_peer),
    FUNCTION("getpwnam", js_getpwnam),
    FUNCTION("getgrnam", js_getgrnam),
    FUNCTION("getpwuid", js_getpwuid),
    FUNCTION("geteuid", js_geteuid),
};

NAPI_MODULE_INIT() {
  close_at_end(env); /* Before any wait can add its own hook. */
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}
