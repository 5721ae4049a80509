import type { PeerInfo } from './node.ts';

/**
 * A zone is a path, such as `eu/de/fra`: each part is within the one before it, and the default zone, the empty text,
 * holds them all.
 */
const ZONE = /^(?:[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*)?$/;
export const MAX_ZONE_CHARS = 64;

/** Whether the text can name a zone. */
export function isZone(text: string): boolean {
  return text.length <= MAX_ZONE_CHARS && ZONE.test(text);
}

/** Whether the zone is `outer` or within it. */
export function isWithin(zone: string, outer: string): boolean {
  return outer === '' || zone === outer || zone.startsWith(`${outer}/`);
}

/** How many parts of their paths two zones have in common: more are nearer. */
export function nearness(a: string, b: string): number {
  if (a === '' || b === '') return 0;
  const [as, bs] = [a.split('/'), b.split('/')];
  const differ = as.findIndex((part, at) => part !== bs[at]);
  return differ < 0 ? as.length : differ;
}

/** Of these zones the smallest that the zone is, or is within; undefined when it is in none of them. */
export function enclosing(zone: string, zones: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const outer of zones) {
    if (isWithin(zone, outer) && (best === undefined || outer.length > best.length)) best = outer;
  }
  return best;
}

/** The same, of those that it is within and is not. */
export function parentOf(zone: string, zones: Iterable<string>): string | undefined {
  return enclosing(
    zone,
    [...zones].filter((outer) => outer !== zone),
  );
}

/** The supernodes that look after a zone: its own, or else those of the smallest zone around it, or else all. */
export function supernodesFor<T extends Pick<PeerInfo, 'zone'>>(
  zone: string,
  supernodes: readonly T[],
): readonly T[] {
  const home = enclosing(
    zone,
    supernodes.map((each) => each.zone),
  );
  return home === undefined ? outermost(supernodes) : supernodes.filter((each) => each.zone === home);
}

/** Those in no zone that is within another one with supernodes: they read from registries. */
export function outermost<T extends Pick<PeerInfo, 'zone'>>(supernodes: readonly T[]): readonly T[] {
  const zones = new Set(supernodes.map((each) => each.zone));
  const inner = new Set([...zones].filter((zone) => parentOf(zone, zones) !== undefined));
  return inner.size === 0 ? supernodes : supernodes.filter((each) => !inner.has(each.zone));
}
