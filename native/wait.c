/*
 * System calls that wait, each on a thread of its own. libuv's pool has four threads: four waits
 * there would stop every file operation of the process.
 *
 * Cancelling a flock(2): a signal alone is lost if it arrives just before the thread enters the
 * call. Therefore the thread waits on a duplicate of the caller's descriptor. To cancel, an O_PATH
 * descriptor, which flock(2) refuses, first replaces the duplicate; then the signal is sent. A
 * thread inside the call gets EINTR, and EBADF at its next attempt. A thread that is not inside yet
 * gets EBADF at once.
 *
 * Cancelling a poll(2): it also polls a pipe, and the pipe is closed.
 *
 * Everything except `wait_on_thread` runs on the thread of the JavaScript environment, and
 * therefore needs no locks.
 *
 * The end of the environment (worker.terminate, or the end of the program) comes while threads
 * wait. A clean-up hook then cancels the wait and joins its thread. Hooks run last in, first out,
 * and this one is added after the hook of the thread-safe function. So the thread ends before that
 * function does. process.exit does not run hooks; exit(3) ends the threads.
 */
#include "reuseaddr.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

/* glibc takes thread-local storage and the signal frame out of it. */
enum { STACK_BYTES = 128 * 1024 };

struct wait {
  enum { FOR_LOCK, FOR_INPUT } purpose;
  int timeout_ms;
  /* A duplicate of the caller's descriptor. It is closed only after the thread has ended, so no
     other file gets its number. */
  int fd;
  /* For a lock: the O_PATH descriptor. For input: the end of the pipe that is closed. */
  int stop;
  /* For input: the end of the pipe that is polled. */
  int stopped;

  pthread_t thread;
  int result;
  atomic_bool called_off;
  /* The first change decides: the thread may then use the thread-safe function, or the environment
     ends. */
  atomic_int state;

  napi_threadsafe_function report;
  bool hooked, ended;
  /* Held by the thread-safe function, and by the JavaScript function that cancels. */
  int references;
};

enum { WAITING, REPORTING, ABANDONED };

#if defined(__linux__)
/* ---- the signal ---- */

static pthread_once_t signal_chosen = PTHREAD_ONCE_INIT;
static int wake_signal = -1;

static void wake(int number) { (void)number; }

/* A real-time signal that JavaScript cannot name, and that has no other handler. The handler is
   installed once, permanently, and without SA_RESTART, because it has to interrupt. If another
   process sends the signal, it has no effect. */
static void choose_signal(void) {
  struct sigaction action = {.sa_handler = wake}, present;
  sigfillset(&action.sa_mask);
  for (int number = SIGRTMAX - 1; number >= SIGRTMIN; number--) {
    if (sigaction(number, NULL, &present) != 0 || (present.sa_flags & SA_SIGINFO)) continue;
    if (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN) continue;
    if (sigaction(number, &action, NULL) != 0) continue;
    wake_signal = number;
    return;
  }
}
#endif

/* ---- the thread ---- */

/* The signals of the process are for other threads. */
static void block_signals(void) {
  sigset_t all;
  sigfillset(&all);
#if defined(__linux__)
  if (wake_signal > 0) sigdelset(&all, wake_signal);
#endif
  pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static int wait_for_lock(struct wait *wait) {
  int result;
  do result = outcome(flock(wait->fd, LOCK_EX));
  while (result == -EINTR);
  return result;
}

static int wait_for_input(struct wait *wait) {
  struct pollfd looked_at[] = {{.fd = wait->fd, .events = POLLIN}, {.fd = wait->stopped, .events = POLLIN}};
  int result;
  /* Only a debugger or a freezer makes it repeat: no signal reaches this thread. */
  do result = outcome(poll(looked_at, 2, wait->timeout_ms));
  while (result == -EINTR);
  if (result < 0) return result;
  if (looked_at[0].revents != 0) return 0;
  return looked_at[1].revents != 0 ? -ECANCELED : -ETIMEDOUT;
}

static void *wait_on_thread(void *started) {
  struct wait *wait = started;
#if defined(__linux__)
  prctl(PR_SET_NAME, "reuseaddr-wait");
#endif
  int result = wait->purpose == FOR_LOCK ? wait_for_lock(wait) : wait_for_input(wait);
  wait->result = result < 0 && atomic_load(&wait->called_off) ? -ECANCELED : result;
  int state = WAITING;
  if (atomic_compare_exchange_strong(&wait->state, &state, REPORTING))
    napi_call_threadsafe_function(wait->report, NULL, napi_tsfn_nonblocking);
  return NULL;
}

/* ---- calling off, and the end ---- */

static void call_off(struct wait *wait) {
  if (wait->ended || atomic_exchange(&wait->called_off, true)) return;
  if (wait->purpose == FOR_INPUT) {
    discard(wait->stop);
    wait->stop = -1;
    return;
  }
#if defined(__linux__)
  int result;
  do result = outcome(dup3(wait->stop, wait->fd, O_CLOEXEC));
  while (result == -EINTR || result == -EBUSY);
  pthread_kill(wait->thread, wake_signal);
#endif
}

static void close_all(struct wait *wait) {
  int *const fds[] = {&wait->fd, &wait->stop, &wait->stopped};
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
    if (*fds[i] >= 0) discard(*fds[i]);
    *fds[i] = -1;
  }
}

/* The thread has nothing left to wait for. */
static void end(struct wait *wait) {
  if (wait->ended) return;
  pthread_join(wait->thread, NULL);
  close_all(wait);
  wait->ended = true;
}

static void drop(struct wait *wait) {
  if (--wait->references == 0) free(wait);
}

static void environment_ends(void *hooked) {
  struct wait *wait = hooked;
  int state = WAITING;
  wait->hooked = false;
  atomic_compare_exchange_strong(&wait->state, &state, ABANDONED);
  call_off(wait);
  end(wait);
}

/* Called for the thread's report. There is no environment if that has ended in the meantime. */
static void report(napi_env env, napi_value done, void *context, void *message) {
  struct wait *wait = context;
  (void)message;
  end(wait);
  if (env == NULL) return;
  if (wait->hooked) napi_remove_env_cleanup_hook(env, environment_ends, wait);
  wait->hooked = false;
  napi_value result = integral(env, wait->result), undefined = NULL;
  /* `wait` may be gone after this. */
  napi_release_threadsafe_function(wait->report, napi_tsfn_release);
  napi_get_undefined(env, &undefined);
  napi_call_function(env, undefined, done, 1, &result, NULL);
}

static void report_finalized(napi_env env, void *made, void *hint) {
  struct wait *wait = made;
  (void)env;
  (void)hint;
  drop(wait);
}

static void call_off_finalized(napi_env env, void *made, void *hint) {
  (void)env;
  (void)hint;
  drop(made);
}

static napi_value js_call_off(napi_env env, napi_callback_info info) {
  void *wait = NULL;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &wait);
  call_off(wait);
  return NULL;
}

/* ---- the beginning ---- */

static int close_on_exec_pipe(int ends[2]) {
#if defined(__linux__)
  return outcome(pipe2(ends, O_CLOEXEC));
#else
  int result = outcome(pipe(ends));
  for (int i = 0; result == 0 && i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC);
  return result;
#endif
}

static int open_all(struct wait *wait, int fd) {
  wait->fd = wait->stop = wait->stopped = -1;
  wait->fd = outcome(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (wait->fd < 0) return wait->fd;
  if (wait->purpose == FOR_INPUT) {
    int ends[2];
    int result = close_on_exec_pipe(ends);
    if (result < 0) return result;
    wait->stopped = ends[0];
    wait->stop = ends[1];
    return 0;
  }
#if defined(__linux__)
  /* Opened now, because no descriptor may be available when the wait has to be cancelled. */
  wait->stop = outcome(open("/", O_PATH | O_CLOEXEC));
  return wait->stop < 0 ? wait->stop : 0;
#else
  return -ENOSYS;
#endif
}

static int create_thread(struct wait *wait) {
  pthread_attr_t small;
  sigset_t before;
  /* The thread inherits the mask, so no signal finds it unprepared. */
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  block_signals();
  int failure = pthread_attr_init(&small);
  if (failure == 0) {
    pthread_attr_setstacksize(&small, STACK_BYTES);
    failure = pthread_create(&wait->thread, &small, wait_on_thread, wait);
    /* The thread-local storage is larger than the stack. */
    if (failure == EINVAL) failure = pthread_create(&wait->thread, NULL, wait_on_thread, wait);
    pthread_attr_destroy(&small);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  /* Not EAGAIN, which would read as "another process has the lock". */
  return failure == EAGAIN ? -ENOMEM : -failure;
}

/* Returns the function that cancels the wait, or a negative errno. */
static napi_value start(napi_env env, struct wait *wait, napi_value done) {
  napi_value name = NULL, off = NULL;
  napi_create_string_utf8(env, "reuseaddr", NAPI_AUTO_LENGTH, &name);
  wait->references = 1;
  if (napi_create_threadsafe_function(env, done, NULL, name, 0, 1, wait, report_finalized, wait, report, &wait->report) !=
      napi_ok) {
    close_all(wait);
    drop(wait);
    return integral(env, -ENOMEM);
  }
  int failure = -ENOMEM;
  wait->ended = true; /* There is no thread yet. */
  if (napi_create_function(env, "callOff", NAPI_AUTO_LENGTH, js_call_off, wait, &off) == napi_ok &&
      napi_add_finalizer(env, off, wait, call_off_finalized, NULL, NULL) == napi_ok) {
    wait->references++;
    wait->hooked = napi_add_env_cleanup_hook(env, environment_ends, wait) == napi_ok;
    if (wait->hooked) failure = create_thread(wait);
    wait->ended = failure != 0;
  }
  if (failure == 0) return off;
  close_all(wait);
  if (wait->hooked) napi_remove_env_cleanup_hook(env, environment_ends, wait);
  napi_release_threadsafe_function(wait->report, napi_tsfn_release);
  return integral(env, failure);
}

static napi_value begin(napi_env env, int fd, napi_value done, int purpose, int timeout_ms) {
  napi_valuetype type;
  if (napi_typeof(env, done, &type) != napi_ok || type != napi_function) {
    refuse(env, "expected a function");
    return NULL;
  }
  struct wait *wait = calloc(1, sizeof *wait);
  if (wait == NULL) return integral(env, -ENOMEM);
  wait->purpose = purpose;
  wait->timeout_ms = timeout_ms;
  atomic_init(&wait->called_off, false);
  atomic_init(&wait->state, WAITING);
  int failure = open_all(wait, fd);
  if (failure == 0) return start(env, wait, done);
  close_all(wait);
  free(wait);
  return integral(env, failure);
}

/* flock(2), LOCK_EX. ENOSYS on other systems than Linux: cancelling a wait has not been tried
   there. */
napi_value js_wait_flock(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd)) return NULL;
#if defined(__linux__)
  pthread_once(&signal_chosen, choose_signal);
  if (wake_signal > 0) return begin(env, fd, given[1], FOR_LOCK, -1);
#endif
  return integral(env, -ENOSYS);
}

/* poll(2), POLLIN: there is something to read, or the other end has closed. */
napi_value js_wait_poll(napi_env env, napi_callback_info info) {
  napi_value given[ARGUMENTS_MAX];
  int fd, timeout_ms;
  arguments(env, info, given);
  if (!whole(env, given[0], &fd) || !whole(env, given[2], &timeout_ms)) return NULL;
  return begin(env, fd, given[1], FOR_INPUT, timeout_ms);
}
