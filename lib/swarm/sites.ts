import type { PeerInfo } from '../core/node.ts';
import { rendezvousRank } from '../core/rendezvous.ts';
import { enclosing, outermost, parentOf } from '../core/zones.ts';
import { dealTurns, isUndivided, MOST_OWNERS, TURNS } from './stripes.ts';

/**
 * Sites: zones with supernodes of their own. Of each blob every site has gateways, one for each turn, that bring those
 * stripes into the site, once: from the site around it, or, where there is none, from the one supernode that reads them
 * from the registry. Nodes use the gateways of their own site.
 */

/** Supernodes that read one blob from the registry, of as many sites; their names fit twice into one answer. */
const MOST_READERS = 32;

/** Who reads, and who brings what is read into which site: turn -> supernode. */
export interface Dealt<T> {
  readonly readers: readonly T[];
  readonly sites: ReadonlyMap<string, readonly T[]>;
}

export const NOTHING_DEALT: Dealt<never> = { readers: [], sites: new Map() };

/**
 * Deals the turns of a blob. Who lives keeps its turns, as with {@link dealTurns}.
 * @param before what was dealt last, with undefined for who is gone
 * @param most supernodes of one site that own a blob between them
 */
export function dealAll<T extends Pick<PeerInfo, 'id' | 'zone'>>(
  digestKey: string,
  size: number,
  supernodes: readonly T[],
  before: Dealt<T | undefined> = NOTHING_DEALT,
  most: number = MOST_OWNERS,
): Dealt<T> {
  const ranked = rendezvousRank(digestKey, supernodes);
  const owners = isUndivided(size) ? 1 : most;
  const reading = upToEach(outermost(ranked), owners);
  const mostReaders = owners === 1 ? 1 : Math.min(MOST_READERS, reading.length);
  // More turns than at first would put every stripe into another one.
  const { length: turns } = before.readers;
  const readers = dealTurns(
    before.readers,
    reading,
    turns === 0 ? mostReaders : Math.min(turns, mostReaders),
  );
  const dealt = new Map<string, readonly T[]>();
  for (const zone of new Set(ranked.map((each) => each.zone))) {
    const last = before.sites.get(zone) ?? [];
    // What a site reads itself nobody else brings there.
    const kept = readers.map((reader, turn) => (reader.zone === zone ? reader : last[turn]));
    const own = ranked.filter((each) => each.zone === zone);
    dealt.set(zone, dealTurns(kept, own, owners));
  }
  return { readers, sites: dealt };
}

/**
 * Turn -> supernode, as the process needs to know it. A node: who offers it the blob. A supernode: from whom the blob
 * comes, the registry's readers or the site around it, and, where there are several sites, behind that who brings it
 * into its own; see {@link splitTurns}.
 */
export function turnsFor<T extends Pick<PeerInfo, 'zone'>>(
  { role, zone }: Pick<PeerInfo, 'role' | 'zone'>,
  { readers, sites }: Dealt<T>,
): readonly T[] {
  const turnsOf = (site: string | undefined) => (site === undefined ? undefined : sites.get(site)) ?? readers;
  if (role === 'node') return turnsOf(enclosing(zone, sites.keys()));
  if (sites.size < 2) return readers;
  return [...turnsOf(parentOf(zone, sites.keys())), ...turnsOf(zone)];
}

/** {@link turnsFor} where no tracker has dealt them: the same for everybody who knows the same supernodes. */
export function turnsAmong(peer: Pick<PeerInfo, 'role' | 'zone'>) {
  return (digestKey: string, size: number, supernodes: readonly PeerInfo[]): readonly PeerInfo[] =>
    turnsFor(peer, dealAll(digestKey, size, supernodes));
}

/** What a supernode was told, taken apart. */
export function splitTurns<T>(told: readonly T[]): {
  readonly sources: readonly T[];
  /** Undefined where there is one site. */
  readonly gateways: readonly T[] | undefined;
} {
  if (told.length <= TURNS) return { sources: told, gateways: undefined };
  const half = told.length / 2;
  return { sources: told.slice(0, half), gateways: told.slice(half) };
}

/** The first of each site, then the second of each, and so on: not more than `most` of one. */
function upToEach<T extends Pick<PeerInfo, 'zone'>>(ranked: readonly T[], most: number): readonly T[] {
  const taken = new Map<string, number>();
  const rounds = ranked.map((each) => {
    const round = taken.get(each.zone) ?? 0;
    taken.set(each.zone, round + 1);
    return { each, round };
  });
  const first = rounds.filter(({ round }) => round < most);
  return first.sort((a, b) => a.round - b.round).map(({ each }) => each);
}
