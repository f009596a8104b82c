/*
 * The open descriptors of this package. No other code closes them.
 *
 * Every function that gives JavaScript a descriptor registers it here. `close` closes only
 * registered descriptors: once, and only while the number still refers to the same file. A
 * framework that was given `claim.fd` may have closed it, and then any file of the process may have
 * its number. A number that is not ours is therefore never closed, no matter what a caller asks.
 *
 * At the end of an environment (a worker thread that returns, exits or is terminated) no JavaScript
 * is left to close anything. A clean-up hook then closes the remaining descriptors. Node has closed
 * its own handles by then, including the listening sockets of its servers. Hooks run last in, first
 * out. This one was added first, so it runs after those of the waits, and no thread uses a
 * descriptor any more. The files on disk are those that a crash leaves, and the next start removes
 * them.
 *
 * All threads of the process share one table, because they share the numbers.
 */
#include "reuseaddr.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

struct owned {
  struct owned *next;
  napi_env env;
  int fd;
  struct identity identity;
  /* The mapping of the file. It refers to the same open file description, so the lock of flock(2)
     lasts until both have ended. */
  void *mapping;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct owned *table;

/* Returns the link to the entry of this number. The lock must be held. */
static struct owned **entry_of(int fd) {
  struct owned **link = &table;
  while (*link != NULL && (*link)->fd != fd) link = &(*link)->next;
  return link;
}

/* Removes an entry from the list. The caller frees it. */
static struct owned *unlink_entry(struct owned **link) {
  struct owned *entry = *link;
  if (entry != NULL) *link = entry->next;
  return entry;
}

static bool same(const struct identity *one, const struct identity *other) {
  return one->device == other->device && one->inode == other->inode;
}

/* Whether the number still refers to the registered file. If the system cannot tell (ENOSYS, or EIO
   of a network file system), the answer is yes: a lock that is never released is worse. */
static bool still_refers(int fd, const struct identity *registered) {
  struct identity present;
  const int failure = identify(fd, &present);
  return failure == 0 ? same(registered, &present) : failure != -EBADF;
}

/* Ends an entry that is not in the table any more. A close(2) comes after this: it releases a lock
   only as the last reference to the open file description. */
static void end_entry(struct owned *entry) {
  if (entry == NULL) return;
  if (entry->mapping != NULL) munmap(entry->mapping, MAPPED_BYTES);
  free(entry);
}

/* mmap(2) of a file of ours, shared. It lasts until the close: mapping it again would cost as much
   as three other steps of a claim. */
int mapping_of(napi_env env, int fd, void **mapping) {
  int result = 0;
  pthread_mutex_lock(&mutex);
  struct owned *entry = *entry_of(fd);
  if (entry == NULL || entry->env != env) result = -EBADF;
  else if (entry->mapping == NULL) {
    void *fresh = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fresh == MAP_FAILED) result = -errno;
    else entry->mapping = fresh;
  }
  if (result == 0) *mapping = entry->mapping;
  pthread_mutex_unlock(&mutex);
  return result;
}

void discard(int fd) { close(fd); }

int own(napi_env env, int fd) {
  struct owned *entry = calloc(1, sizeof *entry);
  if (entry == NULL) return -ENOMEM;
  entry->env = env;
  entry->fd = fd;
  const int failure = identify(fd, &entry->identity);
  /* Registered without its identity, it would look like another file at its close, and stay
     open. */
  if (failure != 0 && failure != -ENOSYS) {
    free(entry);
    return failure;
  }
  pthread_mutex_lock(&mutex);
  /* The kernel reuses a number only when it is free. The previous descriptor was closed behind our
     back. */
  struct owned *before = unlink_entry(entry_of(fd));
  entry->next = table;
  table = entry;
  pthread_mutex_unlock(&mutex);
  end_entry(before);
  return 0;
}

int owned(napi_env env, int fd) {
  const int failure = fd < 0 ? 0 : own(env, fd);
  if (failure == 0) return fd;
  discard(fd);
  return failure;
}

/* Removes the entry of this environment for a number, and returns it, or NULL. */
static struct owned *take_out(napi_env env, int fd) {
  pthread_mutex_lock(&mutex);
  struct owned **link = entry_of(fd);
  struct owned *entry = *link != NULL && (*link)->env == env ? unlink_entry(link) : NULL;
  pthread_mutex_unlock(&mutex);
  return entry;
}

/* Never repeated after EINTR: Linux has closed the descriptor by then, and another file may already
   have its number. */
int close_owned(napi_env env, int fd) {
  struct owned *entry = take_out(env, fd);
  if (entry == NULL) return -EBADF;
  const bool ours = still_refers(fd, &entry->identity);
  end_entry(entry);
  const int result = ours ? outcome(close(fd)) : -EBADF;
  return result == -EINTR ? 0 : result;
}

/* close(2), of a descriptor of ours. EBADF: it is not ours, or not any more. */
napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
  return integral(env, close_owned(env, fd));
}

/* Leaves the descriptor to a handle of the runtime, which closes it. EBADF: it is not ours, or not
   any more. */
napi_value js_give(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
  struct owned *entry = take_out(env, fd);
  if (entry == NULL) return integral(env, -EBADF);
  const bool ours = still_refers(fd, &entry->identity);
  end_entry(entry);
  return integral(env, ours ? 0 : -EBADF);
}

/* Returns 1 if the descriptor is ours, and still refers to the same file as at its registration. */
napi_value js_owns(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  struct identity identity = {0, 0};
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
  pthread_mutex_lock(&mutex);
  struct owned *entry = *entry_of(fd);
  const bool ours = entry != NULL && entry->env == env;
  if (ours) identity = entry->identity;
  pthread_mutex_unlock(&mutex);
  return integral(env, ours && still_refers(fd, &identity));
}

/* ---- the end of an environment ---- */

/* The order of the closes. A name must be free before its lock is, so the listening sockets, and
   those that receive without listen(2), come first, then the files that hold the locks. Connections
   come last, because their end tells the other side of a handover that our share of the claim is
   closed. */
static int turn_of(int fd) {
  int listening = 0, type = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) return 1;
  size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM) return 0;
  return listening ? 0 : 2;
}

static void environment_ends(void *env) {
  struct owned *left = NULL;
  pthread_mutex_lock(&mutex);
  for (struct owned **link = &table; *link != NULL;) {
    if ((*link)->env != env) {
      link = &(*link)->next;
      continue;
    }
    struct owned *entry = unlink_entry(link);
    entry->next = left;
    left = entry;
  }
  pthread_mutex_unlock(&mutex);
  for (int turn = 0; turn <= 2; turn++) {
    for (struct owned **link = &left; *link != NULL;) {
      const int fd = (*link)->fd;
      if (turn_of(fd) > turn) {
        link = &(*link)->next;
        continue;
      }
      struct owned *entry = unlink_entry(link);
      const bool ours = still_refers(fd, &entry->identity);
      end_entry(entry);
      if (ours) close(fd);
    }
  }
}

void close_at_end(napi_env env) { napi_add_env_cleanup_hook(env, environment_ends, env); }

/* ---- what the process was given by the one that started it ---- */

/* sd_listen_fds(3): from SD_LISTEN_FDS_START on. */
enum { PASSED_FIRST = 3, PASSED_MAX = 1024 };

static struct passed {
  enum { UNSEEN, SEEN, INHERITED } state;
  struct identity identity;
} passed[PASSED_MAX];

/* Whether a number that this process was started with still refers to the same file as when a
   thread first asked. Returns 1 for the first call in the process, 0 after that, or EBADF: any file
   may have the number of a closed one. */
napi_value js_see_inherited(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  double fd;
  int result = 0;
  arguments(env, info, given);
  if (!integer(env, given[0], PASSED_FIRST, PASSED_FIRST + PASSED_MAX - 1, &fd)) return NULL;
  struct passed *seen = &passed[(int)fd - PASSED_FIRST];
  pthread_mutex_lock(&mutex);
  if (seen->state == UNSEEN) {
    /* A descriptor that is closed already, or that the system cannot identify, is never
       available. */
    result = identify((int)fd, &seen->identity);
    seen->state = result == 0 ? SEEN : INHERITED;
    if (result == 0) result = 1;
  } else if (!still_refers((int)fd, &seen->identity)) result = -EBADF;
  pthread_mutex_unlock(&mutex);
  return integral(env, result);
}

/* Makes a descriptor that the process was started with the calling thread's, once in the life of
   the process. EBUSY: a thread has it, or had it. */
napi_value js_mark_inherited(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  double fd;
  arguments(env, info, given);
  if (!integer(env, given[0], PASSED_FIRST, PASSED_FIRST + PASSED_MAX - 1, &fd)) return NULL;
  struct passed *inherited = &passed[(int)fd - PASSED_FIRST];
  pthread_mutex_lock(&mutex);
  const bool free_to_inherit = inherited->state == SEEN && still_refers((int)fd, &inherited->identity);
  if (free_to_inherit) inherited->state = INHERITED;
  pthread_mutex_unlock(&mutex);
  return integral(env, free_to_inherit ? owned(env, (int)fd) : -EBUSY);
}

/* Whether a thread has inherited a number that this process was started with, and has it open.
   ENOENT: no thread has asked about this number, nor about a higher one. */
napi_value js_is_inherited(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  double fd;
  arguments(env, info, given);
  if (!integer(env, given[0], PASSED_FIRST, PASSED_FIRST + PASSED_MAX - 1, &fd)) return NULL;
  const struct passed *seen = &passed[(int)fd - PASSED_FIRST];
  pthread_mutex_lock(&mutex);
  const int result = seen->state == UNSEEN ? -ENOENT : seen->state == INHERITED && still_refers((int)fd, &seen->identity);
  pthread_mutex_unlock(&mutex);
  return integral(env, result);
}

/* LISTEN_PIDFDID: fills in the number that the kernel gives to this process and to no other until
   the next boot, in two words. ENOSYS: this kernel has none (Linux before 6.9). */
napi_value js_pidfd_inode(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  uint32_t *filled;
  size_t count;
  arguments(env, info, given);
  if (!words(env, given[0], 2, &filled, &count)) return NULL;
#if defined(__linux__)
  const int pidfd_open = 434; /* Older headers lack the name. The number is the same on every processor. */
  const long pidfs_magic = 0x50494446;
  struct statfs file_system;
  struct identity identity;
  const int fd = outcome(syscall(pidfd_open, getpid(), 0));
  if (fd < 0) return integral(env, fd);
  int result = outcome(fstatfs(fd, &file_system));
  if (result == 0) result = (long)file_system.f_type == pidfs_magic ? identify(fd, &identity) : -ENOSYS;
  discard(fd);
  if (result == 0) memcpy(filled, &identity.inode, sizeof identity.inode);
  return integral(env, result);
#else
  return integral(env, -ENOSYS);
#endif
}
