import type { LiveMember, LiveMessage, LivePreheat, LiveSwarm } from '../live-messages.ts';

export type Member = Required<LiveMember>;
export type Swarm = Required<LiveSwarm> & {
  /** Member -> how far it is, and how many clients read it there. */
  readonly have: Map<number, { readonly percent: number; readonly readers: number }>;
};

/** Where bytes come from, as the curve shows it from the bottom up. */
export const SOURCES = ['origin', 'objectStore', 'supernode', 'peer'] as const;

/** Bytes a second since the refresh before. */
export type Rates = { readonly atMs: number } & Readonly<Record<(typeof SOURCES)[number], number>>;

/** How long rates are kept for the curve, milliseconds. */
export const HISTORY_MS = 120_000;

/** What the page knows: everything that the tracker has told so far. */
export interface State {
  readonly last: LiveMessage | undefined;
  readonly members: ReadonlyMap<number, Member>;
  readonly swarms: ReadonlyMap<number, Swarm>;
  readonly history: readonly Rates[];
  readonly preheats: readonly LivePreheat[];
}

export const NOTHING: State = {
  last: undefined,
  members: new Map(),
  swarms: new Map(),
  history: [],
  preheats: [],
};

const NEW_MEMBER = { id: '', role: 'node', address: '', zone: '' } as const;
type Have = Swarm['have'];
const NEW_SWARM = { digest: '', size: 0 } as const;

/** The state after a message; the one before is used up. */
export function apply(before: State, message: LiveMessage): State {
  const fresh = message.full === true;
  const members = new Map(fresh ? [] : before.members);
  const swarms = new Map(fresh ? [] : before.swarms);
  for (const n of message.gone) members.delete(n);
  for (const member of message.members) {
    members.set(member.n, { ...NEW_MEMBER, ...members.get(member.n), ...member });
  }
  for (const swarm of message.swarms) {
    if (swarm.sharers === 0) swarms.delete(swarm.n);
    else {
      const known = swarms.get(swarm.n);
      swarms.set(swarm.n, { ...NEW_SWARM, ...known, ...swarm, have: known?.have ?? (new Map() as Have) });
    }
  }
  for (const [n, member, percent, readers] of message.have) {
    const have = swarms.get(n)?.have;
    if (percent < 0) have?.delete(member);
    else have?.set(member, { percent, readers });
  }
  const preheats = message.preheats ?? before.preheats;
  return { last: message, members, swarms, history: historyAfter(before, message), preheats };
}

function historyAfter({ history, last }: State, message: LiveMessage): readonly Rates[] {
  const { atMs, totals } = message;
  const kept = history.filter((rates) => atMs - rates.atMs <= HISTORY_MS);
  // Members that come and go take their totals along: that is no traffic.
  const comparable = last !== undefined && last.totals.reporting === totals.reporting;
  if (!comparable || atMs <= last.atMs) return kept;
  const rates = SOURCES.map(
    (key) => [key, (Math.max(0, totals[key] - last.totals[key]) * 1000) / (atMs - last.atMs)] as const,
  );
  return [...kept, { atMs, ...(Object.fromEntries(rates) as Omit<Rates, 'atMs'>) }];
}
