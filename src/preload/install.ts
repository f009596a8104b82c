import { isBun, isDeno } from '../kernel/runtimeName.js';
import { beforeLongConnections } from './longConnections.js';
import { isWorker, noteServer } from './cluster.js';
import { removeDirectory } from './removeDirectory.js';
import { guardFiles } from './files.js';
import { forbidRename, keepLock, removeSocket } from './kept.js';
import { createOnPath, listenOnPath, prepare } from './listenOnPath.js';
import { connectLongPaths } from './longPath.js';
import { installOnOthers } from './installOnOthers.js';
import { isPath, nodeNet, serverPrototype, type CreateServerHandle, type Listen2, type NodeServer } from './node.js';
import { takesTime, type PreloadOptions } from './preloadOptions.js';

/** Shared by all copies of this package in the process: two copies must not both take the lock. */
const installed: unique symbol = Symbol.for('reuseaddr.register');

/**
 * Makes every server of this thread claim the paths and abstract names that it listens on. Does
 * nothing the second time, and on Windows, which has no stale pipes.
 *
 * It replaces only the step of `listen` that binds. Overloads, callback, AbortSignal and
 * node:cluster are Node's own before it, and so are `listening`, its tick, `unref` and the backlog
 * after it.
 *
 * On Bun and Deno it replaces the functions of the runtime that bind, see `installOnOthers.ts`. On
 * Node, this file, and those that it calls for other than paths, are all that a program loads that
 * never listens on a path.
 *
 * @throws Error with the code `ERR_REUSEADDR_RUNTIME`: this runtime has no such step, or Bun cannot
 * keep the choices of REUSEADDR
 */
export function install(options: PreloadOptions): void {
  const prototype = serverPrototype as NodeServer & { [installed]?: true };
  if (process.platform === 'win32' || prototype[installed] === true) return;
  if (isBun) refuseChoices(options);
  if (isBun || isDeno) installOnOthers();
  if (isBun) {
    Object.defineProperty(prototype, installed, { value: true });
    guardFiles(() => ({ removeSocket, removeDirectory, keepLock, forbidRename }));
    return;
  }
  const { _listen2: listen2 } = serverPrototype;
  const { _createServerHandle: create } = nodeNet;
  if (typeof (listen2 as unknown) !== 'function' || typeof (create as unknown) !== 'function') throw unknownRuntime();
  Object.defineProperty(prototype, installed, { value: true });
  if (takesTime(options)) prepare();
  serverPrototype._listen2 = Object.defineProperty(claimingListen2(listen2, create, options), 'name', { value: listen2.name });
  nodeNet._createServerHandle = claimingCreate(create);
  beforeLongConnections(() => connectLongPaths(create));
  guardFiles(() => ({ removeSocket, removeDirectory, keepLock, forbidRename }));
}

/**
 * Replaces the step for `server.listen`, for the primary of node:cluster under SCHED_RR, and for a
 * worker with `exclusive`.
 */
function claimingListen2(listen2: Listen2, create: CreateServerHandle, options: PreloadOptions): Listen2 {
  const later = takesTime(options);
  return function (address, port, addressType, backlog, fd, flags) {
    const listen = (): void => listen2.call(this, address, port, addressType, backlog, fd, flags);
    const path = isPath(address, port, addressType, fd) ? address : undefined;
    if (later && isWorker()) noteServer(this, path);
    if (this._handle !== null || path === undefined) return listen();
    listenOnPath(this, { path, backlog, listen, create, options, takesTime: later });
  };
}

/** Replaces the step for the primary of node:cluster under SCHED_NONE. */
function claimingCreate(create: CreateServerHandle): CreateServerHandle {
  return function _createServerHandle(address, port, addressType, fd, flags) {
    const createPlain = (): ReturnType<CreateServerHandle> => create(address, port, addressType, fd, flags);
    return isPath(address, port, addressType, fd) ? createOnPath(address, create, createPlain) : createPlain();
  };
}

/** On Bun a server listens at once, or fails. */
function refuseChoices(options: PreloadOptions): void {
  const chosen = Object.entries(options).find(([, isChosen]) => isChosen);
  if (chosen !== undefined) throw unknownRuntime(`Bun listens at once, and REUSEADDR=${chosen[0]} takes time`);
}

function unknownRuntime(why = 'it needs Node.js 20.19, or 22.3 or later, and this runtime listens in another way'): Error {
  const message = `Cannot load reuseaddr/register: ${why}. Call listen() of reuseaddr in the program instead, or set REUSEADDR=off.`;
  return Object.assign(new Error(message), { code: 'ERR_REUSEADDR_RUNTIME' });
}
