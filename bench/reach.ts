import { median, ratio } from './measure.js';
import { find, type Recording } from './recording.js';

/** A goal, and whether it was reached. */
export interface ReachLine {
  readonly name: string;
  /** The place or the kind of the measurement, if aims of the same name differ in that alone. */
  readonly variant: string;
  readonly limit: string;
  readonly figure: string;
  readonly met: boolean | undefined;
  readonly text: string;
}

type Judged = readonly [figure: string, met: boolean] | undefined;

interface Aim {
  readonly name: string;
  readonly variant?: string;
  readonly limit: string;
  readonly judge: (recording: Recording) => Judged;
}

/** The one takes at most `max` times as much as the other, in one group. */
function atMost(name: string, max: number, part: string, group: string, one: string, other: string): Aim {
  return { name, limit: `≤ ${max}`, judge: (recording) => compare(recording, part, group, one, other, (value) => value <= max) };
}

function below(name: string, part: string, group: string, one: string, other: string): Aim {
  return { name, limit: '< 1', judge: (recording) => compare(recording, part, group, one, other, (value) => value < 1) };
}

function none(group: string): Aim {
  return {
    name: 'connections lost in a handover',
    variant: group,
    limit: '0',
    judge: (recording) => {
      const values = find(recording, 'handover', group, 'reuseaddr')?.values;
      const sum = values?.reduce((total, value) => total + value, 0);
      return sum === undefined ? undefined : [String(sum), sum === 0];
    },
  };
}

/** As fast as the plain server, in whichever direction the unit counts. */
function within(name: string, group: string, subject: string, min: number, max: number): Aim {
  return {
    name,
    variant: group,
    limit: max === Infinity ? `≥ ${min}` : `${min} to ${max}`,
    judge: (recording) => {
      const one = find(recording, 'bytes', group, subject);
      const plain = find(recording, 'bytes', group, 'plain');
      if (one === undefined || plain === undefined) return undefined;
      const speed = one.better === 'higher' ? ratio(one, plain) : ratio(plain, one);
      const [low, high] = speed.spread;
      return [`${speed.median.toFixed(3)} (${low.toFixed(2)}–${high.toFixed(2)})`, speed.median >= min && speed.median <= max];
    },
  };
}

function compare(
  recording: Recording,
  part: string,
  group: string,
  one: string,
  other: string,
  good: (value: number) => boolean,
): Judged {
  const [left, right] = [find(recording, part, group, one), find(recording, part, group, other)];
  if (left === undefined || right === undefined) return undefined;
  const { median: middle, spread } = ratio(left, right);
  return [`${middle.toFixed(2)} (${spread[0].toFixed(2)}–${spread[1].toFixed(2)})`, good(middle)];
}

/** How much more the last of many addresses may cost than one of the first hundred. */
const growthMax = 1.25;

const flat: Aim = {
  name: 'one more address among thousands, against one among 100',
  limit: `≤ ${growthMax}`,
  judge: ({ measurements }) => {
    const counted = measurements
      .filter(({ part, group, subject }) => part === 'growth' && group === 'one more address' && subject.startsWith('reuseaddr'))
      .map(({ subject, values }) => ({ count: Number(subject.split(', ')[1]), middle: median(values) }));
    const [few, many] = [counted.find(({ count }) => count === 100), counted.at(-1)];
    if (few === undefined || many === undefined) return undefined;
    const growth = many.middle / few.middle;
    return [`${growth.toFixed(2)} (${many.count})`, growth <= growthMax];
  },
};

/**
 * Compares processes by their instructions in user mode if the machine counts them, otherwise by
 * processor time.
 */
function loading(name: string, max: number, group: string, one: string, other: string): Aim {
  const judge = (recording: Recording): Judged =>
    compare(recording, 'loading', `${group}, instructions`, one, other, (value) => value <= max) ??
    compare(recording, 'loading', group, one, other, (value) => value <= max);
  return { name, variant: group.slice(group.indexOf('Node')), limit: `≤ ${max}`, judge };
}

/** The aims for a process that loads the package, on a version of Node. */
function loadingOn(node: string, start: number, tcp: number): readonly Aim[] {
  return [
    loading('start with listen() against plain Node', start, `start on a path, ${node}`, 'reuseaddr', 'plain'),
    loading('the preload against an empty file, --import', 1.06, `no path, --import, ${node}`, 'preload', 'an empty file'),
    loading('the preload against an empty file, --require', 1.06, `no path, --require, ${node}`, 'preload', 'an empty file'),
    loading('http over TCP: the preload against plain Node', tcp, `http over TCP, ${node}`, 'preload', 'plain'),
    loading('inspect against an empty script', 1.6, `command line, ${node}`, 'inspect', 'an empty script'),
    loading('run --help against an empty script', 1.8, `command line, ${node}`, 'run --help', 'an empty script'),
  ];
}

function failover(node: string, max: number): Aim {
  return { ...atMost('failover against C', max, 'failover', `SIGKILL, ${node}`, 'reuseaddr', 'C'), variant: node };
}

/** The slowest of a hundred requests, for a new server that accepts at once, or after a warm-up. */
function duringTakeover(variant: string, subject: string): Aim {
  const name = 'requests in a takeover against steady, 99th percentile';
  return { ...atMost(name, 2.5, 'takeover', '99th percentile of requests', subject, 'steady'), variant };
}

function serverTime(rule: 'uid' | 'gid', max: number): Aim {
  const name = 'server time of a connection with allow, against plain';
  return { ...atMost(name, max, 'bytes', 'server time of a connection', `allow, ${rule}`, 'plain'), variant: rule };
}

const aims: readonly Aim[] = [
  ...['tmpfs', 'disk'].flatMap((variant) => [
    { ...atMost('claim against C', 2, 'claim', variant, 'reuseaddr', 'C'), variant },
    { ...below('claim against proper-lockfile', 'claim', variant, 'reuseaddr', 'proper-lockfile'), variant },
  ]),
  ...loadingOn('Node 20', 1.3, 1.07),
  ...loadingOn('Node 24', 1.25, 1.05),
  failover('Node 20', 1.8),
  failover('Node 24', 1.55),
  duringTakeover('at once', 'takeover'),
  duringTakeover('after one request of its own', 'takeover, one request before'),
  none('refused'),
  none('reset'),
  ...['connections', 'round trip, 64 B', 'throughput'].flatMap((group) => [
    within('a held server against plain', group, 'reuseaddr', 0.97, 1.03),
    within('a server with allow against plain', group, 'reuseaddr, allow', 0.95, Infinity),
  ]),
  serverTime('uid', 1.02),
  serverTime('gid', 1.03),
  flat,
];

export function reachLines(recording: Recording): readonly ReachLine[] {
  return aims.map(({ name, variant = '', limit, judge }) => {
    const judged = judge(recording);
    const [figure, met] = judged ?? ['not measured', undefined];
    const verdict = met === undefined ? '–' : met ? 'met' : 'missed';
    const whole = variant === '' ? name : `${name}, ${variant}`;
    return { name, variant, limit, figure, met, text: `${verdict.padEnd(7)} ${whole}: ${figure}, aim ${limit}` };
  });
}
