/** The outcome that the demo expects of each scheme. Any other outcome makes it fail. */
import type { Scheme } from './messages.js';

/** The steps of the script, in its order. */
export type Step =
  | 'start'
  | 'second start'
  | '  told who has it'
  | 'kill -9, start'
  | 'stray'
  | 'regular file'
  | 'two starts at once';

export type Outcome =
  | 'serves'
  | 'refused'
  | 'takes over'
  | 'yes'
  | 'no'
  | 'EADDRINUSE'
  | 'left alone'
  | 'displaced'
  | 'deleted'
  | 'one holder'
  | 'none'
  | 'one is lost';

export type Outcomes = Partial<Record<Step, Outcome>>;

/** The desired outcome of a step. Any other is a failure of the scheme. */
export const good: Record<Step, Outcome> = {
  start: 'serves',
  'second start': 'refused',
  '  told who has it': 'yes',
  'kill -9, start': 'serves',
  stray: 'left alone',
  'regular file': 'left alone',
  'two starts at once': 'one holder',
};

export const steps: readonly Step[] = Object.keys(good) as Step[];

/** The outcome of each scheme. */
export const expected: Record<Scheme, Required<Outcomes>> = {
  reuseaddr: good,
  plain: {
    ...good,
    '  told who has it': 'no',
    'kill -9, start': 'EADDRINUSE',
    'two starts at once': 'none',
  },
  'unlink first': {
    ...good,
    'second start': 'takes over',
    '  told who has it': 'no',
    stray: 'displaced',
    'regular file': 'deleted',
    'two starts at once': 'one is lost',
  },
  'probe, unlink': {
    ...good,
    '  told who has it': 'no',
    'regular file': 'deleted',
    'two starts at once': 'one is lost',
  },
};

/** The schemes in the order of the demo. */
export const schemes: readonly Scheme[] = Object.keys(expected) as Scheme[];
