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
    scenarios: [
      "a live server's file is removed before a second one listens: fs.unlinkSync",
      "a live server's file is removed before a second one listens: fs.unlinkSync of a Buffer",
      "a live server's file is removed before a second one listens: fs.unlinkSync of a URL",
      "a live server's file is removed before a second one listens: fs.unlinkSync of a relative path",
      "a live server's file is removed before a second one listens: fs.unlinkSync if fs.existsSync",
      "a live server's file is removed before a second one listens: fs.unlink",
      "a live server's file is removed before a second one listens: fs.promises.unlink",
      "a live server's file is removed before a second one listens: fs.rmSync",
      "a live server's file is removed before a second one listens: fs.rmSync with force",
      "a live server's file is removed before a second one listens: fs.rmSync with force and recursive",
      "a live server's file is removed before a second one listens: fs.rm",
      "a live server's file is removed before a second one listens: fs.rm with options",
      "a live server's file is removed before a second one listens: fs.promises.rm",
      "a live server's file is removed before a second one listens: unlinkSync, imported",
      "a live server's file is removed before a second one listens: rmSync, imported",
      "a live server's file is removed before a second one listens: promises, imported",
      "a live server's file is removed before a second one listens: unlink of node:fs/promises, imported",
      "a live server's file is removed before a second one listens: rm of node:fs/promises, imported",
      "a live server's file is removed before a second one listens: require('node:fs').unlinkSync",
      "a live server's file is removed before a second one listens: require('node:fs/promises').unlink",
      "a live server's file is removed before a second one listens: process.getBuiltinModule('node:fs').unlinkSync",
      "a live server's file is removed before a second one listens: fs.unlinkSync through a directory that is a symlink",
      "a live server's file is removed before a second one listens: fs.unlinkSync in a worker thread",
      "a live server's file is removed before a second one listens: fs.rmSync of each name in its directory",
      "a live server's file is removed before a second one listens: fs.rmSync of its directory",
      "a live server's file is removed before a second one listens: fs.promises.rm of its directory",
      'a second program removes its socket file before it listens',
      'a second program removes its socket file at exit',
      'a second program removes its socket file before it listens and at exit',
      'a second program removes its socket file on SIGTERM',
      'a second program removes its socket file on EADDRINUSE, and tries again',
      'a second program removes its socket file before it listens, REUSEADDR=wait',
      'a second program removes its socket file before it listens, REUSEADDR=takeover',
    ],
    why: 'The file of a server that lives stays, and the second program gets EADDRINUSE, waits or takes over; under plain Node the first server cannot be reached any more.',
  },
  {
    scenarios: [
      'a program hands over, and both remove their socket file at exit',
      'a program hands over, and both remove their socket file before it listens and at exit',
    ],
    why: 'The second program takes over, and the first one cannot remove the file at its end; under plain Node nobody can be reached then.',
  },
  {
    scenarios: ['a program removes the file of its own server, and serves on'],
    why: 'A program cannot remove the file of its own server while it serves there; close removes it.',
  },
  {
    scenarios: [
      "a live server's name is taken away: fs.renameSync away",
      "a live server's name is taken away: fs.rename away",
      "a live server's name is taken away: rename of node:fs/promises, imported, away",
      "a live server's name is taken away: fs.renameSync of a file onto it",
      "a live server's name is taken away: fs.promises.rename of a file onto it",
    ],
    why: 'A rename that would take the name of a live server fails with EBUSY.',
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
