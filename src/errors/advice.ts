/** A kind of advice. Each front end says in its own words how to follow it, or leaves it out. */
export type Advice = 'wait' | 'longer' | 'takeover' | 'handover' | 'lockPath' | 'allow';

/**
 * The advice that a reason may give: a front end's words, without those that do not help in this
 * case.
 */
export type Words = Readonly<Record<Advice, string | undefined>>;

/**
 * A way to use this package: the library, the preload, a command. Only the front end knows how its
 * users set an option.
 */
export interface FrontEnd {
  readonly advice: Words;
  /** An option of `ListenOptions` or `ConnectOptions`, as the users of this front end know it. */
  option(name: string): string;
}

export const library: FrontEnd = {
  advice: {
    wait: 'wait for it with { wait: true }',
    longer: 'wait longer with { timeout }',
    takeover: 'take it over with { takeover: true }',
    handover: 'start it again with { handover: true }',
    lockPath: 'choose another lock file with { lockPath }',
    allow: 'restrict peers with { allow }',
  },
  option: (name) => name,
};
