import { isReachable, type Moment } from './guarantees.js';
import { has, openAt, socketAt, socketBoundTo, type World } from './world.js';

/** A file, as the page shows it. */
export interface FileRow {
  /**
   * Undefined: it has no name any more, and lives because a process has it open or is bound to it.
   */
  readonly name?: string;
  readonly ino: number;
  readonly type: string;
  readonly mode: number;
  /** The processes that are bound to it; for a file, those that have it open. */
  readonly users: readonly number[];
  readonly listening: boolean;
  readonly lockedBy: readonly number[];
}

export interface ClientView {
  /** The process that a client reaches. */
  readonly reaches?: number;
  /** The other answer of connect(2), and why. */
  readonly errno?: 'ENOENT' | 'ECONNREFUSED';
  readonly why: 'nothing' | 'not-a-socket' | 'dead' | 'not-listening' | 'served';
  /** Processes that believe they serve, and which no client finds. */
  readonly lost: readonly number[];
}

/** The files of the directory by their names, and then those that have lost theirs. */
export function files({ world }: Pick<Moment, 'world'>): FileRow[] {
  const named = Object.entries(world.names)
    .filter(([name]) => name !== '/run')
    .map(([name, ino]) => ({ name, ...file(world, ino) }));
  const names = new Set(Object.values(world.names));
  const nameless = world.inodes.flatMap((inode, ino) => (inode && !names.has(ino) ? [file(world, ino)] : []));
  return [...named, ...nameless];
}

function file(world: World, ino: number): Omit<FileRow, 'name'> {
  const { type, mode } = world.inodes[ino]!;
  const processes = [...world.descriptors.keys()];
  const opened = world.open.filter((open) => open.ino === ino);
  const users = processes.filter((process) => opened.some((open) => has(world, process, open)));
  const locks = opened.filter((open) => open.kind === 'file' && open.locked);
  const lockedBy = processes.filter((process) => locks.some((open) => has(world, process, open)));
  return { ino, type, mode, users, listening: socketBoundTo(world, ino)?.listening ?? false, lockedBy };
}

/** The result for a client that connects to the path now. */
export function clientView(moment: Moment): ClientView {
  const { world, place, standings } = moment;
  const lost = standings.flatMap(({ doing, claim }, process) => {
    const listens = doing === 'holding' && claim && openAt(world, process, claim.listenFd)?.kind === 'socket';
    return listens && !isReachable(moment, process) ? [process] : [];
  });
  const ino = world.names[place.path];
  if (ino === undefined) return { errno: 'ENOENT', why: 'nothing', lost };
  if (world.inodes[ino]!.type !== 'socket') return { errno: 'ECONNREFUSED', why: 'not-a-socket', lost };
  const socket = socketAt(world, place.path);
  if (!socket) return { errno: 'ECONNREFUSED', why: 'dead', lost };
  if (!socket.listening) return { errno: 'ECONNREFUSED', why: 'not-listening', lost };
  const reaches = standings.findIndex((_standing, process) => has(world, process, socket));
  return { reaches, why: 'served', lost };
}
