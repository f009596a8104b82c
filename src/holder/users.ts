import { failed } from '../kernel/kernel.js';
import { getgrnam, getpwnam, getpwuid } from '../kernel/posix.js';

/** The name of a user, or undefined where there is none. */
export function userName(uid: number): string | undefined {
  const user = getpwuid(uid);
  return failed(user) ? undefined : user.name;
}

/** The id of a user that is given by name or by id. Undefined: there is none of that name. */
export function userId(user: string | number): number | undefined {
  return typeof user === 'number' ? user : known(getpwnam(user));
}

/** The id of a group that is given by name or by id. Undefined: there is none of that name. */
export function groupId(group: string | number): number | undefined {
  return typeof group === 'number' ? group : known(getgrnam(group));
}

function known(id: number | string): number | undefined {
  return typeof id === 'number' ? id : undefined;
}
