/** Processes that only the test starts, signals and ends, for the rules of a fleet. */
import { EventEmitter } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import type { TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Fleet, type FleetPolicy } from '#dist/run/fleet.js';
import { Instance, type Exit } from '#dist/run/instance.js';

class FakeChild extends EventEmitter {
  readonly signals: NodeJS.Signals[] = [];
  readonly pid: number;

  constructor(pid: number) {
    super();
    this.pid = pid;
  }

  kill(signal: NodeJS.Signals): boolean {
    this.signals.push(signal);
    return true;
  }
}

/** One process. Its number is its pid, and they are counted from 1. */
export interface FakeProgram {
  readonly index: number;
  readonly instance: Instance;
  readonly signals: readonly NodeJS.Signals[];
  ends(code: number | null, signal?: NodeJS.Signals): Promise<void>;
  ready(): Promise<void>;
}

/** A fleet of such processes. */
export class FakePrograms {
  readonly fleet: Fleet;
  /** The reports, and what a supervisor above was told. */
  readonly reports: string[] = [];
  readonly told: string[] = [];
  readonly programs: FakeProgram[] = [];
  /** How the fleet has ended, once it has. */
  ended: Exit | undefined;
  /** The errno of the starts from now on. */
  failing: string | undefined;

  constructor(
    t: TestContext,
    { failing, ...policy }: Partial<FleetPolicy> & { readonly failing?: string } = {},
    makeRoom?: (signal: AbortSignal) => Promise<void>,
  ) {
    const report = (message: string): void => void this.reports.push(message);
    const tell = (what: string) => () => void this.told.push(what);
    const usual: FleetPolicy = {
      instances: 1,
      numbered: false,
      restart: 'always',
      restartDelayMs: 1,
      graceMs: 1e6,
      readyWithinMs: 1e6,
      readyAfterMs: undefined,
      overlaps: true,
    };
    this.fleet = new Fleet(
      { ...usual, ...policy },
      {
        launch: (index) => this.#launch(index),
        makeRoom,
        report,
        stopping: tell('stopping'),
        reloading: tell('reloading'),
        reloaded: tell('reloaded'),
      },
    );
    this.failing = failing;
    void this.fleet.ended.then((exit) => (this.ended = exit));
    this.fleet.start();
    // Otherwise its pauses and waits would keep this process.
    t.after(async () => {
      this.fleet.drain();
      for (const program of this.programs) await program.ends(0);
    });
  }

  #launch(index: number): Instance {
    const child = new FakeChild(this.programs.length + 1);
    const start = (): ChildProcess => {
      if (this.failing !== undefined) throw Object.assign(new Error('spawn'), { code: this.failing });
      return child as unknown as ChildProcess;
    };
    const instance = new Instance(start, { graceMs: 1e6, report: () => undefined });
    this.programs.push({
      index,
      instance,
      signals: child.signals,
      async ends(code, signal) {
        child.emit('exit', code, signal ?? null);
        await turns();
      },
      async ready() {
        instance.becomeReady();
        await turns();
      },
    });
    return instance;
  }

  /** The process with this pid. */
  at(pid: number): FakeProgram {
    const found = this.programs[pid - 1];
    if (found === undefined) throw new Error(`Only ${this.programs.length} were started.`);
    return found;
  }

  async rollOut(): Promise<void> {
    void this.fleet.rollOut();
    await turns();
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.fleet.stop(signal);
    this.fleet.signal(signal);
    await turns();
  }
}

/** Everything that follows without a wait happens. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}
