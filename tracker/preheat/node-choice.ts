import { DamselflyError } from '../../lib/core/errors.ts';
import type { Role } from '../../lib/core/node.ts';
import { rendezvousRank } from '../../lib/core/rendezvous.ts';
import { isWithin } from '../../lib/core/zones.ts';

/** Which machines a job is for. */
export type NodeChoice =
  | { readonly kind: 'supernodes' }
  | { readonly kind: 'all' }
  | { readonly kind: 'count'; readonly count: number }
  /** Above 0, up to 1. */
  | { readonly kind: 'share'; readonly share: number }
  /** Of the zone and of those within it. */
  | { readonly kind: 'zone'; readonly zone: string }
  /** Without a value: whatever it is. */
  | { readonly kind: 'label'; readonly key: string; readonly value?: string }
  /** A batch of a staged rollout, which has chosen its machines itself. */
  | { readonly kind: 'plan'; readonly batch: string };

/** Of a member, what it can be chosen by. */
export interface Choosable {
  readonly id: string;
  readonly role: Role;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** How many at a time. */
export type BatchSize = { readonly count: number } | { readonly share: number };

/**
 * Reads `supernodes`, `all`, `12`, `10%`, `zone=eu-1`, `label=pool=gpu` or `label=pool`.
 * @throws CONFIG_INVALID
 */
export function parseNodeChoice(text: string): NodeChoice {
  if (text === 'supernodes' || text === 'all') return { kind: text };
  const zone = /^zone=([A-Za-z0-9._/-]+)$/.exec(text)?.[1];
  if (zone !== undefined) return { kind: 'zone', zone };
  const [, key, value] = /^label=([A-Za-z0-9][A-Za-z0-9._/-]*)(?:=([A-Za-z0-9._/-]*))?$/.exec(text) ?? [];
  if (key !== undefined) return { kind: 'label', key, ...(value === undefined ? {} : { value }) };
  const batch = /^plan=([0-9/]{1,60})$/.exec(text)?.[1];
  if (batch !== undefined) return { kind: 'plan', batch };
  const size = batchSize(text);
  if (size === undefined) {
    const expected = 'expected supernodes, all, a number, a share such as 10%, zone=NAME, label=KEY=VALUE';
    throw new DamselflyError('CONFIG_INVALID', `nodes: got ${JSON.stringify(text)}; ${expected}`);
  }
  return 'count' in size ? { kind: 'count', ...size } : { kind: 'share', ...size };
}

/** Reads `20` or `10%`. @throws CONFIG_INVALID */
export function parseBatchSize(text: string): BatchSize {
  const size = batchSize(text);
  if (size !== undefined) return size;
  const message = `batch: got ${JSON.stringify(text)}; expected a number of machines, or a share such as 10%`;
  throw new DamselflyError('CONFIG_INVALID', message);
}

function batchSize(text: string): BatchSize | undefined {
  const [, number = '', percent] = /^(\d{1,7}(?:\.\d{1,3})?)(%?)$/.exec(text) ?? [];
  const value = Number(number);
  if (number === '' || value <= 0) return undefined;
  if (percent === '%') return value <= 100 ? { share: value / 100 } : undefined;
  return Number.isInteger(value) ? { count: value } : undefined;
}

/**
 * The machines of a choice, in the order in which they get their orders. Of a number or a share: the same for the same
 * key and members, and as many from each zone as from the others.
 */
export function chooseNodes(choice: NodeChoice, members: readonly Choosable[], key: string): string[] {
  if (choice.kind === 'supernodes') return idsOf(members.filter(({ role }) => role === 'supernode'));
  const nodes = members.filter(({ role }) => role === 'node');
  const spread = acrossZones(rendezvousRank(key, nodes));
  switch (choice.kind) {
    case 'plan':
      return [];
    case 'all':
      return idsOf(spread);
    case 'count':
      return idsOf(spread.slice(0, choice.count));
    case 'share':
      return idsOf(spread.slice(0, Math.ceil(choice.share * spread.length)));
    case 'zone':
      return idsOf(spread.filter(({ zone }) => isWithin(zone, choice.zone)));
    case 'label':
      return idsOf(
        spread.filter(({ labels }) => {
          const value = Object.hasOwn(labels, choice.key) ? labels[choice.key] : undefined;
          return value !== undefined && (choice.value === undefined || value === choice.value);
        }),
      );
  }
}

/** @returns the machines in batches; all in one without a size */
export function inBatches(ids: readonly string[], size: BatchSize | undefined): string[][] {
  const count = size === undefined ? ids.length : 'count' in size ? size.count : size.share * ids.length;
  const step = Math.max(1, Math.ceil(count));
  return Array.from({ length: Math.ceil(ids.length / step) }, (_, batch) =>
    ids.slice(batch * step, (batch + 1) * step),
  );
}

function idsOf(members: readonly Choosable[]): string[] {
  return members.map(({ id }) => id);
}

/** One of each zone, then the next of each. */
function acrossZones(ranked: readonly Choosable[]): Choosable[] {
  const zones = new Map<string, Choosable[]>();
  for (const member of ranked) {
    const column = zones.get(member.zone);
    if (column === undefined) zones.set(member.zone, [member]);
    else column.push(member);
  }
  const columns = [...zones.values()];
  const longest = columns.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: longest }, (_, row) => row).flatMap((row) =>
    columns.flatMap((column) => column[row] ?? []),
  );
}
