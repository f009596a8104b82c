import { explore, TooManyStates, type Exploration } from '../tests/simulation/explore.js';
import type { Setting } from '../tests/simulation/link.js';
import { scenarioOf } from '../tests/simulation/play.js';
import { formatSchedule } from '../tests/simulation/schedule.js';

export interface Search {
  readonly setting: Setting;
  /** How often each process starts. */
  readonly starts: number;
  /** The guarantee to break; undefined: any. */
  readonly guarantee?: string;
}

export type Report =
  | { readonly kind: 'progress'; readonly states: number; readonly steps: number }
  | (Pick<Exploration, 'states' | 'transitions' | 'steps' | 'schedules'> & {
      readonly kind: 'holds' | 'breaks';
      readonly seconds: number;
      readonly guarantee?: string;
      readonly schedule?: string;
    })
  | { readonly kind: 'too-many'; readonly states: number }
  | { readonly kind: 'failed'; readonly message: string };

/** More would exceed the memory of a small machine. */
const statesMax = 3_000_000;

/** The worker's side: one search, then the worker is ended. */
export function serveSearch(): void {
  const tell = (report: Report): void => self.postMessage(report);
  self.addEventListener('message', ({ data }: MessageEvent<Search>) => {
    try {
      tell(search(data, (states, steps) => tell({ kind: 'progress', states, steps })));
    } catch (error) {
      tell({ kind: 'failed', message: String(error) });
    }
  });
}

function search({ setting, starts, guarantee }: Search, progress: (states: number, steps: number) => void): Report {
  const start = performance.now();
  const whole = scenarioOf(setting, starts);
  const guarantees = whole.guarantees.filter(({ name }) => guarantee === undefined || name === guarantee);
  const scenario = { ...whole, guarantees };
  try {
    const { states, transitions, steps, schedules, violation } = explore(scenario, { statesMax, progress });
    const seconds = (performance.now() - start) / 1000;
    const found = { states, transitions, steps, seconds, ...(schedules !== undefined && { schedules }) };
    if (!violation) return { kind: 'holds', ...found };
    return { kind: 'breaks', ...found, guarantee: violation.guarantee, schedule: formatSchedule(scenario, violation.moves) };
  } catch (error) {
    if (error instanceof TooManyStates) return { kind: 'too-many', states: statesMax };
    throw error;
  }
}

/**
 * A search in a worker, so that the page stays responsive. The worker runs the page's own script: a
 * file has no others.
 */
export class Searcher {
  readonly #url: string;
  #worker: Worker | undefined;

  constructor(script: string) {
    this.#url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  }

  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  start(wanted: Search, told: (report: Report) => void): void {
    this.stop();
    const worker = new Worker(this.#url);
    this.#worker = worker;
    const tell = (report: Report): void => {
      if (this.#worker !== worker) return;
      if (report.kind !== 'progress') this.stop();
      told(report);
    };
    worker.addEventListener('message', ({ data }: MessageEvent<Report>) => tell(data));
    worker.addEventListener('error', ({ message }) => tell({ kind: 'failed', message }));
    worker.postMessage(wanted);
  }

  stop(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
