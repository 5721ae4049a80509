import { hash53 } from '../core/rendezvous.ts';
import { LEASE_TTL_MS, mostAside } from './lease-table.ts';

/** What a node goes by that no tracker answers: what it knows itself. */
export interface LocalView {
  /** Ids of ourselves and of the nodes that share the blob with us. */
  readonly self: string;
  readonly sharers: readonly string[];
  readonly digest: string;
  /**
   * Since bytes last came, milliseconds: who should read first has had so long to do it. 0 when nobody had to, as the swarm
   * is only slow: then each stripe is one node's.
   */
  readonly waitedMs: number;
}

/**
 * Whether the stripe is ours to read: those who share the blob come one after the other, in the order of rendezvous
 * hashing, each so much later as a lease lasts. Nodes that know the same sharers agree without a word.
 */
export function isOurTurn({ self, sharers, digest, waitedMs }: LocalView, stripe: number): boolean {
  const weight = (id: string): number => hash53(`${digest}\n${stripe}\n${id}`);
  const ours = weight(self);
  const before = sharers.filter((id) => id !== self && weight(id) > ours).length;
  return before <= Math.max(0, Math.floor(waitedMs / LEASE_TTL_MS) - 1);
}

/**
 * Whether we may step aside: as many of those we know as a tracker would let, others when these have had their time.
 */
export function mayStepAside({ self, sharers, digest, waitedMs }: LocalView): boolean {
  const nodes = new Set([...sharers, self]).size;
  const round = Math.floor(waitedMs / LEASE_TTL_MS);
  return hash53(`${digest}\n${round}\n${self}`) / 2 ** 53 < mostAside(nodes) / nodes;
}
