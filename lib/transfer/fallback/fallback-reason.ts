/** Why a node reads from the registry beside its swarm: values of `damselfly_fallback_total{reason}`. */
export type Reason =
  | 'stalled'
  | 'no-peers'
  | 'supernode-failed'
  | 'hedge'
  | 'aside'
  | 'last-resort'
  | 'no-capability';

/** What nobody else reads; what the client needs next, although others should bring it; that, without asking. */
export type Mode = 'lease' | 'aside' | 'at-once';

/** @param awaited by a client: for what is fetched ahead of any, no crowd reads at once */
export function modeOf(reason: Reason, awaited: boolean): Mode {
  if (reason === 'last-resort' || reason === 'no-capability') return awaited ? 'at-once' : 'aside';
  return reason === 'aside' ? 'aside' : 'lease';
}
