/** The messages between the processes of the demo. */
import type { ListenOptions, Reason } from 'reuseaddr';

/** The way in which a server gets its address. */
export type Scheme = 'reuseaddr' | 'plain' | 'unlink first' | 'probe, unlink';

/** The options that the demo shows. */
export type Options = Pick<ListenOptions, 'wait' | 'takeover' | 'handover'>;

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

/** `ask`: one request. `load`: one request after the other, until `stop`. */
export type ToClient = { readonly ask: string } | { readonly load: string } | 'stop';

export type FromClient =
  | { readonly answeredBy: number }
  | { readonly failedWith: string }
  | { readonly answered: number; readonly failed: number };
