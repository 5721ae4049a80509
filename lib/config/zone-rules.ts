import { isZone } from '../core/zones.ts';
import { type Networks, parseNetworks } from './networks.ts';

/** The zone of machines in some networks. */
export interface ZoneRule {
  readonly networks: Networks;
  readonly zone: string;
}

/** `10.1.0.0/16=eu/fra`, or several networks: `10.1.0.0/16,fd01::/48=eu/fra`; undefined for anything else. */
export function parseZoneRule(text: string): ZoneRule | undefined {
  const at = text.lastIndexOf('=');
  const networks = parseNetworks(text.slice(0, Math.max(at, 0)));
  const zone = text.slice(at + 1);
  return networks === undefined || zone === '' || !isZone(zone) ? undefined : { networks, zone };
}

/** The zone of the first rule that one of the addresses is in; undefined when there is none. */
export function zoneByAddress(rules: readonly ZoneRule[], addresses: readonly string[]): string | undefined {
  return rules.find(({ networks }) => addresses.some((address) => networks.includes(address)))?.zone;
}
