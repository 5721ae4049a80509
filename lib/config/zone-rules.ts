import { isZone } from '../core/zones.ts';
import { parseNetworks } from './networks.ts';

/** The zone of machines in some networks. Plain data: settings are compared when their file changes. */
export interface ZoneRule {
  /** `10.1.0.0/16,fd01::/48` */
  readonly networks: string;
  readonly zone: string;
}

/** `10.1.0.0/16=eu/fra`, or several networks: `10.1.0.0/16,fd01::/48=eu/fra`; undefined for anything else. */
export function parseZoneRule(text: string): ZoneRule | undefined {
  const at = Math.max(0, text.lastIndexOf('='));
  const [networks, zone] = [text.slice(0, at), text.slice(at + 1)];
  return zone === '' || !isZone(zone) || parseNetworks(networks) === undefined
    ? undefined
    : { networks, zone };
}

/** Finds the zone of the first rule that one of a machine's addresses is in; undefined when there is none. */
export function zoneFinder(rules: readonly ZoneRule[]): (addresses: readonly string[]) => string | undefined {
  const table = rules.map(({ networks, zone }) => ({ networks: parseNetworks(networks), zone }));
  return (addresses) =>
    table.find(({ networks }) => addresses.some((address) => networks?.includes(address)))?.zone;
}
