/** The parts of a scenario of the explorer. */
export interface Setting {
  /** The key of a scheme. */
  readonly scheme: string;
  readonly processes: number;
  /** The letters of the outsiders that take part. */
  readonly outsiders: string;
  /** Whether there is a stale socket at the path, or nothing at all. */
  readonly stale: boolean;
}

/** A state of the explorer: the schedule that leads there, as the simulation prints it. */
export interface Linked extends Setting {
  readonly schedule: string;
  /** How many moves of the schedule are made. Undefined: all of them. */
  readonly at?: number;
}

export const processesMax = 4;

/** A state as the fragment of a URL: `#scheme=unlink-first&processes=2&schedule=A3+B1+A1`. */
export function formatLink({ scheme, processes, outsiders, stale, schedule, at }: Linked): string {
  const parts = [`scheme=${scheme}`, `processes=${processes}`];
  if (outsiders !== '') parts.push(`with=${outsiders}`);
  if (!stale) parts.push('directory=empty');
  if (schedule !== '') parts.push(`schedule=${schedule.replaceAll(' ', '+')}`);
  if (at !== undefined) parts.push(`at=${at}`);
  return `#${parts.join('&')}`;
}

/**
 * Reads a link. Throws an `Error` that says what is wrong with it; whether the schedule can be
 * played shows in playing it.
 */
export function parseLink(fragment: string): Linked {
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  const scheme = given.get('scheme') ?? '';
  if (!/^[a-z-]+$/.test(scheme)) throw new Error('The link names no scheme.');
  const processes = Number(given.get('processes') ?? 2);
  if (!Number.isInteger(processes) || processes < 1 || processes > processesMax)
    throw new Error(`The link asks for ${given.get('processes')} processes; 1 to ${processesMax} can be shown.`);
  const outsiders = given.get('with') ?? '';
  if (!/^[KLMRSTU]*$/.test(outsiders) || new Set(outsiders).size < outsiders.length)
    throw new Error(`The link has outsiders that are not known: ${outsiders}`);
  const schedule = (given.get('schedule') ?? '').trim().replaceAll(/\s+/g, ' ');
  const at = given.get('at');
  if (at !== null && !/^\d{1,6}$/.test(at)) throw new Error(`The link stops at a move that is no number: ${at}`);
  const stale = given.get('directory') !== 'empty';
  return { scheme, processes, outsiders, stale, schedule, ...(at !== null && { at: Number(at) }) };
}
