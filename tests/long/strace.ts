import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';

/**
 * The system calls that are recorded, and killed or failed at: all that open, look at, change, or
 * close a file, a socket or a thread. Not in it: memory, locks in memory (futex), time, signals'
 * bookkeeping, and the event loop's own sleep. None of them leaves anything behind that another
 * process could see. The record is written through a mapping, by the process_vm_writev(2) that is
 * recorded. strace before 6.5 does not know the name that has a question mark.
 */
const recorded = [
  'open,openat,close,access,faccessat2,readlink,stat,lstat,fstat,newfstatat,statx,flock,fcntl,dup,dup3',
  'rename,renameat2,unlink,unlinkat,link,linkat,chmod,fchmod,fchmodat,?fchmodat2,chown,fchown,lchown,fchownat',
  'pread64,pwrite64,process_vm_writev,read,write,ftruncate,ioctl',
  'socket,bind,listen,connect,accept4,sendto,sendmsg,recvfrom,recvmsg,getsockopt,setsockopt,getsockname,shutdown',
  'epoll_ctl,poll,ppoll,eventfd2,pipe2,inotify_init1,inotify_add_watch,inotify_rm_watch',
  'clone,clone3,execve,kill,wait4,exit_group',
].join(',');

/**
 * The point in a process at which something is to happen: the nth call of this name that one of its
 * threads makes after strace has attached.
 */
export interface Point {
  readonly syscall: string;
  readonly nth: number;
  /** The main thread, or one that was started in the window. */
  readonly thread: 'main' | 'other';
  /** The call as strace writes it, for the reader of a failure. */
  readonly text: string;
}

interface Line {
  readonly tid: number;
  readonly syscall: string;
  readonly text: string;
}

/** strace(1), attached to a process that is running already. */
export class Strace {
  readonly #child: ChildProcess;
  readonly #pid: number;
  readonly #log: string;

  private constructor(child: ChildProcess, pid: number, log: string) {
    this.#child = child;
    this.#pid = pid;
    this.#log = log;
  }

  /** `inject` is strace's own expression. Main thread only, unless `threads`. */
  static async attach(
    pid: number,
    log: string,
    { inject, threads = true }: { inject?: string; threads?: boolean } = {},
  ): Promise<Strace> {
    const args = ['-o', log, '-e', `trace=${recorded}`, '-p', String(pid)];
    if (threads) args.push('-f');
    if (inject !== undefined) args.push('-e', `inject=${inject}`);
    const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes(' attached')) resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`strace ended: ${said}`)));
    });
    return new Strace(child, pid, log);
  }

  /** Lets go of the process, and gives what it recorded. */
  async detach(): Promise<string> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGINT');
      await exited;
    }
    return fs.readFileSync(this.#log, 'utf8');
  }

  /** Waits until strace has ended, because all that it was attached to has. */
  async ended(): Promise<string> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    return fs.readFileSync(this.#log, 'utf8');
  }

  get pid(): number {
    return this.#pid;
  }
}

/**
 * Every call of the window by thread, name and number. The numbers count from the attaching, as
 * strace's own do.
 */
export function pointsOf(log: string, mainTid: number): Point[] {
  const seen = new Map<string, number>();
  const points: Point[] = [];
  let inWindow = !log.includes('/reuseaddr-window-begins');
  for (const { tid, syscall, text } of linesOf(log, mainTid)) {
    if (text.includes('/reuseaddr-window-begins')) inWindow = true;
    // The claim was refused and everything closed; whose stray it is, for the message, is looked up
    // in all of /proc.
    if (text.includes('AT_FDCWD, "/proc", ')) break;
    // A call that strace knows only by its number is recorded nevertheless. It cannot stop at that.
    if (syscall.startsWith('syscall_')) continue;
    const key = `${tid} ${syscall}`;
    const nth = (seen.get(key) ?? 0) + 1;
    seen.set(key, nth);
    if (inWindow) points.push({ syscall, nth, thread: tid === mainTid ? 'main' : 'other', text });
    // Killed at the marker that ends the window is killed after the last call in it.
    if (text.includes('/reuseaddr-window-ends')) break;
  }
  return points;
}

function linesOf(log: string, mainTid: number): Line[] {
  return log.split('\n').flatMap((line) => {
    // Without -f there is no thread id before the call. A resumed call has been counted where it
    // began.
    const [, tid, syscall] = /^(?:(\d+) +)?([a-z]\w*)\(/.exec(line) ?? [];
    return syscall === undefined
      ? []
      : [{ tid: tid === undefined ? mainTid : Number(tid), syscall, text: line.replace(/^\d+ +/, '') }];
  });
}

/** Whether something was injected, and where: the last line of the log that was tampered with. */
export function injectedAt(log: string): string | undefined {
  return log.split('\n').findLast((line) => line.includes('(INJECTED)'));
}
