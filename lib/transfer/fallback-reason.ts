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

export function modeOf(reason: Reason): Mode {
  if (reason === 'aside') return 'aside';
  return reason === 'last-resort' || reason === 'no-capability' ? 'at-once' : 'lease';
}
