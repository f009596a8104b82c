import { failed } from '../kernel/kernel.js';
import { getgrnam, getpwnam, getpwuid } from '../kernel/posix.js';

/** Returns the name of a user, or undefined if it has none. */
export function userName(uid: number): string | undefined {
  const user = getpwuid(uid);
  return failed(user) ? undefined : user.name;
}

/** Returns the id of a user that is given by name or id, or undefined if the name is unknown. */
export function userId(user: string | number): number | undefined {
  return typeof user === 'number' ? user : known(getpwnam(user));
}

/** Returns the id of a group that is given by name or id, or undefined if the name is unknown. */
export function groupId(group: string | number): number | undefined {
  return typeof group === 'number' ? group : known(getgrnam(group));
}

function known(id: number | string): number | undefined {
  return typeof id === 'number' ? id : undefined;
}
