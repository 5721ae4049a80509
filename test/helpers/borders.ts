import type { Cluster } from '../../bench/fixtures/cluster.ts';

/** Zone -> bytes that its members have received from members of other zones, as they count them themselves. */
export async function borders(
  { daemons, supernodes }: Pick<Cluster, 'daemons' | 'supernodes'>,
  zones: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const into = new Map(zones.map((zone) => [zone, 0]));
  const members = [...daemons.entries(), ...supernodes.entries()];
  const each = members.map(async ([index, { ready }]) => {
    const response = await fetch(`http://${ready.admin}/metrics`).catch(() => undefined);
    const text = (await response?.text()) ?? '';
    const zone = zones[index % zones.length]!;
    for (const [, bytes] of text.matchAll(/^damselfly_border_bytes_total\{from="[^"]*"\} (\d+)$/gm)) {
      into.set(zone, into.get(zone)! + Number(bytes));
    }
  });
  await Promise.all(each);
  return into;
}
