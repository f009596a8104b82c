import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { posix } from 'node:path';

const root = '/sys/fs/cgroup';

/**
 * Returns how many processors this process may use, by its affinity mask and by the CPU quota of
 * its control groups, rounded up.
 */
export function usableProcessors(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(cpuQuota(readOrNothing('/proc/self/cgroup'), readOrNothing))));
}

/**
 * Returns the least CPU quota of a control group and those above it, in processors.
 *
 * In cgroup v2, `cpu.max` is `MAX PERIOD`, in microseconds. In a container the group is often the
 * root of the mount, regardless of its path outside.
 *
 * @internal
 */
export function cpuQuota(groups: string, read: (path: string) => string): number {
  let least = Infinity;
  for (const [, path = '/'] of groups.matchAll(/^0::(\/.*)$/gm)) {
    for (let group = path; ; group = posix.dirname(group)) {
      const [, quota, period] = /^(\d+) (\d+)/.exec(read(posix.join(root, group, 'cpu.max'))) ?? [];
      if (Number(period) > 0) least = Math.min(least, Number(quota) / Number(period));
      if (group === '/') break;
    }
  }
  for (const [, path = '/'] of groups.matchAll(/^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(\/.*)$/gm)) {
    for (let group = path; ; group = posix.dirname(group)) {
      const quota = Number(read(posix.join(root, 'cpu', group, 'cpu.cfs_quota_us')));
      const period = Number(read(posix.join(root, 'cpu', group, 'cpu.cfs_period_us')));
      if (quota > 0 && period > 0) least = Math.min(least, quota / period);
      if (group === '/') break;
    }
  }
  return least;
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
