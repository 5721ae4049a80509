import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { DamselflyError } from '../core/errors.ts';
import { isZone } from '../core/zones.ts';
import { type ZoneRule, zoneFinder } from './zone-rules.ts';

/** From where a process may know its zone, what says most first. */
export interface ZoneConfig {
  /** Empty: not said. */
  readonly zone: string;
  readonly zoneFile?: string | undefined;
  readonly zoneCidr?: readonly ZoneRule[] | undefined;
}

/** Kubernetes' own labels, as its downward API writes them into a file: `topology.kubernetes.io/zone="eu-1a"`. */
const LABEL = /^topology\.kubernetes\.io\/(region|zone)="([^"]*)"$/;

/**
 * The zone of this machine: as it was set, as a file says, or by its addresses; else empty, and a tracker may know.
 * @throws CONFIG_INVALID
 */
export function loadZone({ zone, zoneCidr = [], zoneFile }: ZoneConfig): string {
  if (zone !== '') return zone;
  if (zoneFile !== undefined) return zoneInFile(zoneFile);
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outer = all.filter(({ internal }) => !internal).map(({ address }) => address);
  return zoneFinder(zoneCidr)(outer) ?? '';
}

/** A zone alone, or labels of which `region/zone` is made. */
function zoneInFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--zone-file: ${(error as Error).message}`);
  }
  const lines = text.split('\n').map((line) => line.trim());
  const labels = new Map(
    lines.flatMap((line) => {
      const [, name = '', value = ''] = LABEL.exec(line) ?? [];
      return value === '' ? [] : [[name, value] as const];
    }),
  );
  const topology = [labels.get('region'), labels.get('zone')].filter((part) => part !== undefined).join('/');
  const plain = lines.filter((line) => line !== '');
  const zone = topology !== '' ? topology : plain.length === 1 ? plain[0]! : '';
  if (isZone(zone) && zone !== '') return zone;
  const expected = 'a zone such as eu/fra, or the labels topology.kubernetes.io/region and zone';
  throw new DamselflyError('CONFIG_INVALID', `--zone-file ${path}: expected ${expected}`);
}
