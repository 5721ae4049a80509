/**
 * Rendezvous hashing (highest random weight, Thaler & Ravishankar 1998): every process ranks the same members in the
 * same order for a key, and a member that leaves moves only its own keys.
 */
export function rendezvousRank<T extends { readonly id: string }>(key: string, members: readonly T[]): T[] {
  return members
    .map((member) => ({ member, weight: hash53(`${key}\n${member.id}`) }))
    .sort((a, b) => b.weight - a.weight || (a.member.id < b.member.id ? -1 : 1))
    .map(({ member }) => member);
}

/** The member that owns the key, or undefined when there are none. */
export function rendezvousOwner<T extends { readonly id: string }>(
  key: string,
  members: readonly T[],
): T | undefined {
  let best: T | undefined;
  let bestWeight = -1;
  for (const member of members) {
    const weight = hash53(`${key}\n${member.id}`);
    if (weight > bestWeight || (weight === bestWeight && best !== undefined && member.id < best.id)) {
      best = member;
      bestWeight = weight;
    }
  }
  return best;
}

/** 53-bit non-cryptographic hash of a text (cyrb53): stable across processes and versions of Node. */
export function hash53(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
