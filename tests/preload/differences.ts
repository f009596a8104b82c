/**
 * The scenarios in which the preload is meant to differ from plain Node, and why. All others must
 * give the same trace. Kept in step with the table in docs/preload.md by `differential.test.ts`.
 */
export const differences: readonly { readonly scenarios: readonly string[]; readonly why: string }[] = [
  {
    scenarios: [
      'a socket file that a killed server left',
      'a killed server left its file, and the program asks, removes and tries again, as many do',
      'a process was killed → the next one starts on the same path',
    ],
    why: 'A socket file that a dead server left is replaced; plain Node says EADDRINUSE.',
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
      'a program hands over, and both remove their socket file at exit',
      'a program hands over, and both remove their socket file before it listens and at exit',
      'a program removes the file of its own server, and continues to serve',
    ],
    why: 'Removing the socket file of a live server succeeds and does nothing; a second program gets EADDRINUSE, waits or takes over. Under plain Node no client reaches the live server any more.',
  },
  {
    scenarios: [
      "a live server's name is taken away: fs.renameSync away",
      "a live server's name is taken away: fs.rename away",
      "a live server's name is taken away: rename of node:fs/promises, imported, away",
      "a live server's name is taken away: fs.renameSync of a file onto it",
      "a live server's name is taken away: fs.promises.rename of a file onto it",
    ],
    why: 'A rename that would take the name of a live server away fails with EBUSY.',
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
    why: 'The code for a file that is not a socket is ENOTSOCK, not EADDRINUSE: programs that unlink on EADDRINUSE would delete it.',
  },
  {
    scenarios: [
      'close when another file has the name by now',
      'close when another server has the name by now',
      'chdir(2) between listen and close',
    ],
    why: '`server.close()` removes only the very file that was bound; plain Node removes whatever has the name.',
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
    why: 'A process that ends by itself (`process.exit`, an exception, a handled signal) removes its socket file; plain Node leaves it.',
  },
  {
    scenarios: ['a worker thread that listens is terminated'],
    why: 'After `worker.terminate()` the file stays, as after a crash; under plain Node libuv removes it.',
  },
  {
    scenarios: [
      'a path of more than 107 bytes in a deep directory',
      'a short relative path in a directory of more than 107 bytes → that file',
      'a path of 108 bytes whose last part has more than 85',
    ],
    why: 'A path of more than 107 bytes works, and its socket file is sticky. Node 20 and 22 cut the path off, 24 and later say EINVAL.',
  },
];
