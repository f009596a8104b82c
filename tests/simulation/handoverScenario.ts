import { hasConnections } from '#dist/address/socketType.js';
import { acquire } from '#dist/claim/acquire.js';
import { isRefusal } from '#dist/claim/refusal.js';
import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';
import type { HandoverScenario } from './handoverExplore.js';
import { asking, beginning, holding, place, terms, type Changes, type Types } from './handoverLives.js';
import {
  copyHandoverWorld,
  emptyHandoverWorld,
  endProcess,
  handoverCall,
  settleHandover,
  socketAt,
  type Description,
  type HandoverWorld,
} from './handoverWorld.js';

/** A holder that serves handovers, and newcomers that ask for one. */
export function handoverScenario(
  newcomers: number,
  triesMax: number,
  changes: Changes = {},
  crashes = 'ABC',
  outsider?: () => Conversation<unknown>,
  types: Types = {},
): HandoverScenario {
  const uids = [1000, ...Array.from({ length: newcomers }, () => 1000), ...(outsider ? [2000] : [])];
  const empty = emptyHandoverWorld(uids);
  const { world, outcome: offered } = runAlone(empty, 0, beginning(types.holder));
  if (outsider) world.processes[uids.length - 1]!.standing = 'done';
  const lives = [
    () => holding(offered, changes),
    ...Array.from({ length: newcomers }, () => () => asking(changes, triesMax, types.newcomers)),
    ...(outsider ? [outsider] : []),
  ];
  const tried = new Map<string, string | undefined>();
  return {
    world,
    lives,
    letters: outsider ? `${'ABCD'.slice(0, newcomers + 1)}X` : 'ABCD'.slice(0, newcomers + 1),
    crashes,
    check: (after, before, mover, call) =>
      breach(after, before, mover, call, outsider ? uids.length - 1 : -1) ?? freshStart(after, tried),
  };
}

function runAlone<Outcome>(
  from: HandoverWorld,
  process: number,
  operation: Conversation<Outcome>,
): { world: HandoverWorld; outcome: Outcome } {
  let world = settleHandover(copyHandoverWorld(from));
  let step: IteratorResult<SystemCall, Outcome> = operation.next();
  while (!step.done) {
    const answer = handoverCall(world, process, step.value.name, step.value.args, '');
    world = settleHandover(world);
    step = operation.next(answer);
  }
  return { world, outcome: step.value };
}

/** The rules that hold at every moment of a handover. */
function breach(after: HandoverWorld, before: HandoverWorld, mover: number, call: string, outsider: number): string | undefined {
  const at = after.names[place.path];
  const lock = after.open.findIndex((one) => one.kind === 'file' && one.locked && one.ino === after.names[place.lockPath]);
  const listens = (world: HandoverWorld, process: number, ino: number | undefined): boolean =>
    world.processes[process]!.fds.some((description) => isListener(world.open[description], ino));
  const all = after.processes.map((_process, i) => i);

  if (at !== undefined && lock < 0 && all.some((process) => listens(after, process, at)))
    return 'G1: the lock is free while a process has the listening socket';
  const misled = all.find((process) => after.processes[process]!.standing === 'misled');
  if (misled !== undefined) return `G2: process ${misled} was handed a socket of another type`;
  const holders = all.filter((process) => after.processes[process]!.standing === 'holding');
  if (holders.length > 1) return `G1: processes ${holders.join(' and ')} both are the holder`;
  const sharers = all.filter((process) => lock >= 0 && shares(after, process, lock));
  if (sharers.length > 2) return 'G1: more than two processes have a share of the claim';

  const accepting = all.some((process) => after.processes[process]!.accepts.length > 0);
  if (!after.ended && !accepting) return 'G7: no process accepts';
  const idle = holders.find((process) => after.processes[process]!.accepts.length === 0);
  if (idle !== undefined) return `G7: process ${idle} is the holder and does not accept`;
  if (after.readDead && call.startsWith('accepting ["stop"') && before.processes[mover]!.standing === 'handing') {
    return `G7: process ${mover} stops to accept for a newcomer that had died when it was read`;
  }
  const was = before.names[place.path];
  if (
    mover !== outsider &&
    was !== undefined &&
    at !== was &&
    all.some((process) => process !== mover && listens(before, process, was))
  ) {
    return `G4: process ${mover} unlinks the socket file that another process has`;
  }
  if (lock >= 0 && after.processes.every(({ standing }) => standing === 'done'))
    return 'G3: no process holds the claim, and the lock is not free';
  return undefined;
}

function isListener(one: Description | undefined, ino: number | undefined): boolean {
  return one?.kind === 'socket' && (one.listening || !hasConnections(one.type)) && one.ino === ino;
}

/** Has it open, or on the way to one of its connections. */
function shares(world: HandoverWorld, process: number, lock: number): boolean {
  return world.processes[process]!.fds.some((description) => {
    const one = world.open[description];
    return description === lock || (one?.kind === 'connection' && one.inbox.some(({ passed }) => passed.includes(lock)));
  });
}

/** G3: if all died now, a start would succeed. */
function freshStart(world: HandoverWorld, tried: Map<string, string | undefined>): string | undefined {
  const key = JSON.stringify([world.names, world.inodes]);
  if (!tried.has(key)) {
    const alone = copyHandoverWorld(world);
    for (let process = 0; process < alone.processes.length; process++) endProcess(alone, process);
    const { outcome, world: after } = runAlone(alone, 0, acquire(place, terms));
    const foreign = isRefusal(outcome) && ['stray', 'not-a-socket', 'aside-occupied'].includes(outcome.refused);
    const reached = !isRefusal(outcome) && socketAt(after, after.names[place.path]!)?.listening === true;
    tried.set(key, reached || foreign ? undefined : `G3: a fresh start is refused: ${JSON.stringify(outcome)}`);
  }
  return tried.get(key);
}
