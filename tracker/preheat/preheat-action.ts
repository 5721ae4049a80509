import type { PreheatOrder } from '../../lib/wire/preheat-messages.ts';
import type { Job } from './job.ts';

/** What is to be done about what was decided. */
export type PreheatAction =
  | { readonly kind: 'send'; readonly to: readonly string[]; readonly message: PreheatOrder }
  /** The job is another than before. */
  | { readonly kind: 'changed'; readonly job: Job }
  | { readonly kind: 'forgotten'; readonly id: number };
