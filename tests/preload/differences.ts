/**
 * The scenarios in which the preload is meant to differ from plain Node, and why. All others must give the same trace. Kept in
 * step with the table in docs/preload.md by `differential.test.ts`.
 */
export const differences: readonly { readonly scenarios: readonly string[]; readonly why: string }[] = [
  {
    scenarios: [
      'a socket file that a killed server left',
      'a killed server left its file, and the program asks, removes and tries again, as many do',
      'a process was killed → the next one starts on the same path',
    ],
    why: 'A socket file that a dead server left is replaced; plain Node says EADDRINUSE. This is what the preload is for.',
  },
  {
    scenarios: ['a program removes the file of a live server before it listens, as many do'],
    why: 'The second program gets EADDRINUSE; under plain Node it takes the address. The name that it removed is gone all the same: nobody can keep a program from unlink(2).',
  },
  {
    scenarios: [
      'a regular file has the name → refused, and left alone',
      'an empty file has the name → refused, and left alone',
      'a directory has the name → refused, and left alone',
      'a symlink to nothing has the name → refused, and left alone',
      'a symlink to a file has the name → refused, and left alone',
      'a FIFO has the name → refused, and left alone',
    ],
    why: 'The code is ENOTSOCK, not EADDRINUSE: programs that unlink on EADDRINUSE when nobody answers would delete a file that is not a socket.',
  },
  {
    scenarios: ['close when another file has the name by now', 'close when another server has the name by now'],
    why: 'Only the very file that was bound is removed; plain Node removes whatever has the name.',
  },
  {
    scenarios: ['chdir(2) between listen and close'],
    why: 'The file that was bound is removed; plain Node removes the one of that name in the new working directory, whoever it belongs to.',
  },
  {
    scenarios: [
      'a process that listens leaves: exit',
      'a process that listens leaves: exit in an exit listener',
      'a process that listens leaves: throw',
      'a process that listens leaves: SIGTERM with a listener',
      'cluster, SCHED_RR: the primary closes nothing and exits',
      'cluster, SCHED_NONE: the primary closes nothing and exits',
    ],
    why: 'A process that ends by itself removes its socket file; plain Node leaves it.',
  },
  {
    scenarios: ['a worker thread that listens is terminated'],
    why: 'worker.terminate() lets nothing run in the thread: the file stays, as after a crash, and the next start replaces it. libuv unlinks by name while it closes the handle.',
  },
  {
    scenarios: ['a path of more than 107 bytes in a deep directory'],
    why: 'The server listens at the path that was asked for. Node 20 and 22 cut it off and listen elsewhere, 24 and later say EINVAL.',
  },
  {
    scenarios: ['a short relative path in a directory of more than 107 bytes → that file'],
    why: 'The socket file has the sticky bit: its absolute path does not fit a socket address, and systemd-tmpfiles takes it for dead.',
  },
  {
    scenarios: ['a path of 108 bytes whose last part has more than 85'],
    why: 'The code is ENAMETOOLONG. Node 20 and 22 listen on 107 bytes of it; 24 and later on all 108, which other programs cannot reach.',
  },
];
