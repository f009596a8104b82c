/*
 * The floor: what the same schemes cost in C.
 *
 *   floor claim PATH TIMES        the system calls of a claim and its release in reuseaddr; prints
 *                                 the microseconds of processor time of each
 *   floor standby PATH            blocks in flock(2) on PATH.lock, binds, listens, prints the clock
 *                                 in microseconds, and waits
 *   floor echo unix|tcp BYTES TIMES           prints microseconds for one round trip
 *   floor stream unix|tcp BYTES MIB BUFFER    prints MiB a second; BUFFER: SO_SNDBUF and SO_RCVBUF,
 *                                             0 leaves them
 *   floor spent COMMAND ARG...    runs a command to its end; prints the microseconds of processor
 *                                 time that it took, and its instructions in user mode, or 0 where
 *                                 the machine does not count them
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double read_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double clock_us(void) { return read_us(CLOCK_MONOTONIC); }

static double processor_us(void) { return read_us(CLOCK_PROCESS_CPUTIME_ID); }

static long must(long result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

/* ---- claim ---- */

struct names {
  char path[100], directory[100], socket[80], lock[90], aside[100], handover[90];
};

static void name_all(struct names *names, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *name = slash + 1;
  snprintf(names->path, sizeof names->path, "%s", path);
  snprintf(names->directory, sizeof names->directory, "%.*s", (int)(slash - path), path);
  snprintf(names->socket, sizeof names->socket, "%s", name);
  snprintf(names->lock, sizeof names->lock, "%s.lock", name);
  snprintf(names->handover, sizeof names->handover, "%s.handover", name);
  snprintf(names->aside, sizeof names->aside, ".reuseaddr-aside.%s", name);
}

struct claim {
  int directory, lock, socket;
  void *record;
};

enum { RECORD_BYTES = 1024 };

static int rename_noreplace(int directory, const char *from, const char *to) {
  return (int)syscall(SYS_renameat2, directory, from, directory, to, 1);
}

static int look(int directory, const char *name) {
  struct stat status;
  return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW);
}

/* Writes through a mapping, which raises no inotify event. If the disk is full, this call fails,
   and memcpy would end the process. */
static void write_record(const struct claim *claim, const char *text) {
  char record[RECORD_BYTES] = "";
  memcpy(record, text, strlen(text));
  struct iovec from = {record, sizeof record}, to = {claim->record, sizeof record};
  must(process_vm_writev(getpid(), &from, 1, &to, 1, 0), "process_vm_writev");
}

/* Uses netlink if SIOCUNIXFILE is not permitted. */
static void ask_netlink(int fd) {
  struct {
    struct nlmsghdr header;
    struct unix_diag_req body;
  } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0}, {0}};
  char answer[1024];
  struct stat status;
  must(fstat(fd, &status), "fstat");
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = UINT32_MAX;
  request.body.udiag_ino = (uint32_t)status.st_ino;
  request.body.udiag_show = UDIAG_SHOW_VFS;
  request.body.udiag_cookie[0] = request.body.udiag_cookie[1] = UINT32_MAX;
  int netlink = (int)must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), "socket");
  must(send(netlink, &request, sizeof request, 0), "send");
  must(recv(netlink, answer, sizeof answer, 0), "recv");
  close(netlink);
}

static void ask_bound_file(int fd) {
  struct stat status;
  int file = ioctl(fd, SIOCPROTOPRIVATE);
  if (file < 0) return ask_netlink(fd);
  fstat(file, &status);
  close(file);
}

static void acquire(const struct names *names, struct claim *claim, int wait) {
  struct stat status;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char link[40], real[4096], content[4096];
  static const char record[] = "{\"reuseaddr\":1,\"sinceMs\":1795373000000,\"pid\":31719,\"uid\":0,\"command\":\"node one.mjs\","
                               "\"startTicks\":5501234,\"pidNamespace\":\"pid:[4026532000]\",\"host\":\"machine\"}\n";
  const int directory = claim->directory = (int)must(open(names->directory, O_PATH | O_DIRECTORY | O_CLOEXEC), "open");
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  must(readlink(link, real, sizeof real), "readlink");
  const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  claim->lock = openat(directory, names->lock, flags);
  if (claim->lock < 0) claim->lock = (int)must(openat(directory, names->lock, flags | O_CREAT | O_EXCL, 01600), "openat");
  must(fstat(claim->lock, &status), "fstat");
  fstat(directory, &status);
  must(pread(claim->lock, content, sizeof content, 0), "pread");
  geteuid();
  must(flock(claim->lock, wait ? LOCK_EX : LOCK_EX | LOCK_NB), "flock");
  must(look(directory, names->lock), "fstatat");
  look(directory, names->aside);
  memcpy(address.sun_path, names->path, strlen(names->path));
  const int fd = claim->socket = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  fchmod(fd, 0600);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    /* Its former holder is dead: this process has the lock. */
    must(rename_noreplace(directory, names->socket, names->aside), "renameat2");
    must(unlinkat(directory, names->aside, 0), "unlinkat");
    must(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
  }
  must(look(directory, names->socket), "fstatat");
  ask_bound_file(fd);
  must(listen(fd, 4096), "listen");
  /* The first claim makes the file as long as all records are. */
  if (lseek(claim->lock, 0, SEEK_END) < RECORD_BYTES) must(ftruncate(claim->lock, RECORD_BYTES), "ftruncate");
  claim->record = mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, claim->lock, 0);
  if (claim->record == MAP_FAILED) exit(1);
  write_record(claim, record);
  look(directory, names->handover);
}

static void release(const struct names *names, const struct claim *claim) {
  must(look(claim->directory, names->socket), "fstatat");
  must(rename_noreplace(claim->directory, names->socket, names->aside), "renameat2");
  must(look(claim->directory, names->aside), "fstatat");
  must(unlinkat(claim->directory, names->aside, 0), "unlinkat");
  close(claim->socket);
  write_record(claim, "");
  munmap(claim->record, RECORD_BYTES);
  close(claim->lock);
  close(claim->directory);
}

static void claim(const char *path, int times) {
  struct names names;
  struct claim claim;
  name_all(&names, path);
  double begin = 0;
  for (int i = -times / 4; i < times; i++) {
    /* The caches are warm by now. */
    if (i == 0) begin = processor_us();
    acquire(&names, &claim, 0);
    release(&names, &claim);
  }
  printf("%.3f\n", (processor_us() - begin) / times);
}

static void standby(const char *path) {
  struct names names;
  struct claim claim;
  name_all(&names, path);
  printf("waiting\n");
  fflush(stdout);
  acquire(&names, &claim, 1);
  printf("%.0f\n", clock_us());
  fflush(stdout);
  pause();
}

/* ---- bytes ---- */

static void connect_pair(const char *family, int buffer, int pair[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (strcmp(family, "unix") == 0) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  } else {
    int one = 1, listener = (int)must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    must(listen(listener, 1), "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
    pair[0] = (int)must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(connect(pair[0], (struct sockaddr *)&address, size), "connect");
    pair[1] = (int)must(accept(listener, NULL, NULL), "accept");
    for (int i = 0; i < 2; i++) must(setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
    close(listener);
  }
  for (int i = 0; i < 2 && buffer > 0; i++) {
    must(setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), "SO_SNDBUF");
    must(setsockopt(pair[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer), "SO_RCVBUF");
  }
}

static int read_all(int fd, char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t got = read(fd, bytes + at, length - at);
    if (got <= 0) return 0;
    at += (size_t)got;
  }
  return 1;
}

static void write_all(int fd, const char *bytes, size_t length) {
  for (size_t at = 0; at < length;) at += (size_t)must(write(fd, bytes + at, length - at), "write");
}

static void echo(const char *family, size_t bytes, int times) {
  int pair[2];
  char *buffer = calloc(1, bytes);
  connect_pair(family, 0, pair);
  pid_t child = fork();
  if (child == 0) {
    close(pair[0]);
    while (read_all(pair[1], buffer, bytes)) write_all(pair[1], buffer, bytes);
    _exit(0);
  }
  close(pair[1]);
  double begin = clock_us();
  for (int i = 0; i < times; i++) {
    write_all(pair[0], buffer, bytes);
    if (!read_all(pair[0], buffer, bytes)) exit(1);
  }
  printf("%.3f\n", (clock_us() - begin) / times);
  close(pair[0]);
  waitpid(child, NULL, 0);
}

static void stream(const char *family, size_t bytes, int mebibytes, int buffer_bytes) {
  int pair[2];
  char *buffer = calloc(1, bytes);
  connect_pair(family, buffer_bytes, pair);
  const size_t total = (size_t)mebibytes << 20;
  pid_t child = fork();
  if (child == 0) {
    close(pair[0]);
    for (size_t seen = 0; seen < total;) seen += (size_t)must(read(pair[1], buffer, bytes), "read");
    write_all(pair[1], "x", 1);
    _exit(0);
  }
  close(pair[1]);
  double begin = clock_us();
  for (size_t sent = 0; sent < total; sent += bytes) write_all(pair[0], buffer, bytes);
  if (!read_all(pair[0], buffer, 1)) exit(1);
  printf("%.3f\n", mebibytes / ((clock_us() - begin) / 1e6));
  waitpid(child, NULL, 0);
}

static int count_instructions(pid_t process) {
  struct perf_event_attr counted = {.type = PERF_TYPE_HARDWARE, .size = sizeof counted, .config = PERF_COUNT_HW_INSTRUCTIONS};
  counted.exclude_kernel = counted.exclude_hv = counted.inherit = counted.disabled = counted.enable_on_exec = 1;
  return (int)syscall(SYS_perf_event_open, &counted, process, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void spent(char **command) {
  int begins[2];
  must(pipe2(begins, O_CLOEXEC), "pipe2");
  const pid_t child = (pid_t)must(fork(), "fork");
  if (child == 0) {
    char byte;
    close(begins[1]);
    must(read(begins[0], &byte, 1), "read");
    const int nowhere = (int)must(open("/dev/null", O_RDWR), "open");
    for (int fd = 0; fd <= 2; fd++) dup2(nowhere, fd);
    execvp(command[0], command);
    _exit(127);
  }
  const int counter = count_instructions(child);
  must(write(begins[1], "", 1), "write");
  siginfo_t ended;
  clockid_t clock;
  struct timespec time;
  unsigned long long instructions = 0;
  /* The clock of a process can be read until it has been waited for. */
  must(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), "waitid");
  must(-clock_getcpuclockid(child, &clock), "clock_getcpuclockid");
  must(clock_gettime(clock, &time), "clock_gettime");
  if (counter >= 0) must(read(counter, &instructions, sizeof instructions), "read");
  must(waitpid(child, NULL, 0), "waitpid");
  if (ended.si_code != CLD_EXITED || ended.si_status == 127) exit(1);
  printf("%.0f %llu\n", (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3, instructions);
}

int main(int count, char **given) {
  if (count >= 4 && strcmp(given[1], "claim") == 0) claim(given[2], atoi(given[3]));
  else if (count >= 3 && strcmp(given[1], "standby") == 0) standby(given[2]);
  else if (count >= 5 && strcmp(given[1], "echo") == 0) echo(given[2], (size_t)atol(given[3]), atoi(given[4]));
  else if (count >= 6 && strcmp(given[1], "stream") == 0) stream(given[2], (size_t)atol(given[3]), atoi(given[4]), atoi(given[5]));
  else if (count >= 3 && strcmp(given[1], "spent") == 0) spent(given + 2);
  else return 2;
  return 0;
}
