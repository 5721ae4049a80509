import type { PeerInfo } from './node.ts';
import { isWithin } from './zones.ts';

/** What an operator has set for the whole cluster, as one value: the newest replaces all before it. */
export interface ClusterSettings {
  /** Milliseconds since the epoch, of the clock of who set it; see {@link settingsTime}. */
  readonly atMs: number;
  /** Names of upstreams whose pulls go straight to the registry, or `all`. */
  readonly paused: readonly string[];
  /** Settings of nodes that win over their own; of rules that fit a node, the one for the fewest nodes wins. */
  readonly rules?: readonly SettingsRule[];
  /** Who set them; absent where nobody proves who he is. See lib/security/signed-settings.ts. */
  readonly by?: SettingsSigner;
}

export interface SettingsSigner {
  /** PEM. */
  readonly certificate: string;
  /** base64url */
  readonly signature: string;
}

/** Settings for some nodes. */
export interface SettingsRule {
  /** Nodes of this zone and of those within it; absent: of any. */
  readonly zone?: string;
  /** Nodes whose id begins like this; absent: any. */
  readonly node?: string;
  /** Values by the name of their flag without the dashes. */
  readonly values: Readonly<Record<string, string>>;
}

export type SettingsTarget = Omit<SettingsRule, 'values'>;

/** Whether `settings` replaces `known`. Of two from the same millisecond, everybody takes the same one. */
export function isNewer(settings: ClusterSettings, known: ClusterSettings | undefined): boolean {
  if (known === undefined) return true;
  if (settings.atMs !== known.atMs) return settings.atMs > known.atMs;
  return textOf(settings) > textOf(known);
}

/** The time of settings that are to replace `known`: later than those, even if they come from a clock that is ahead. */
export function settingsTime(nowMs: number, known: ClusterSettings | undefined): number {
  return Math.max(Math.floor(nowMs), (known?.atMs ?? 0) + 1);
}

/** What the cluster sets for one node. */
export function valuesFor(
  { id, zone }: Pick<PeerInfo, 'id' | 'zone'>,
  { rules = [] }: Pick<ClusterSettings, 'rules'>,
): Readonly<Record<string, string>> {
  const fits = ({ node, zone: ofZone }: SettingsRule): boolean =>
    (ofZone === undefined || isWithin(zone, ofZone)) && (node === undefined || id.startsWith(node));
  const fitting = widestFirst(rules.filter(fits));
  return Object.assign({}, ...fitting.map(({ values }) => values)) as Record<string, string>;
}

/** The rules with one more change; those for more nodes come before those for fewer. @param unset names */
export function changedRules(
  rules: readonly SettingsRule[],
  { node, zone }: SettingsTarget,
  { set = {}, unset = [] }: { readonly set?: SettingsRule['values']; readonly unset?: readonly string[] },
): readonly SettingsRule[] {
  const same = (rule: SettingsRule): boolean => rule.node === node && rule.zone === zone;
  const merged = { ...rules.find(same)?.values, ...set };
  const values = Object.fromEntries(Object.entries(merged).filter(([name]) => !unset.includes(name)));
  const others = rules.filter((rule) => !same(rule));
  const target = { ...(zone === undefined ? {} : { zone }), ...(node === undefined ? {} : { node }) };
  const all = Object.keys(values).length === 0 ? others : [...others, { ...target, values }];
  return widestFirst(all);
}

/** A rule that names nodes is narrower than any zone, a zone within another narrower than that. */
function widestFirst(rules: readonly SettingsRule[]): readonly SettingsRule[] {
  const depth = ({ zone }: SettingsRule): number => {
    if (zone === undefined) return 0;
    return zone === '' ? 1 : 1 + zone.split('/').length;
  };
  const named = ({ node }: SettingsRule): number => (node === undefined ? 0 : 1);
  return rules.toSorted((a, b) => named(a) - named(b) || depth(a) - depth(b));
}

function textOf({ paused, rules = [] }: ClusterSettings): string {
  return JSON.stringify([paused, rules]);
}
