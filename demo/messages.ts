/** What the demo's processes say to each other. */
import type { Reason } from 'reuseaddr';

/** How a server takes its address. */
export type Scheme = 'reuseaddr' | 'plain' | 'unlink first' | 'probe, unlink';

export type ToServer = 'go on' | 'are you there?' | 'stop';

export type FromServer =
  | { readonly is: 'looked' | 'serving' | 'there' }
  | {
      readonly is: 'refused';
      readonly code: string;
      readonly message: string;
      readonly reason?: Reason | undefined;
      readonly holderPid?: number | undefined;
    };

export type FromClient = { readonly answeredBy: number } | { readonly failedWith: string };
