import { formatBytes, formatDuration } from '../../lib/config/units.ts';
import { markdownTable } from '../fixtures/markdown-table.ts';
import type { CodeVersion, Machine } from '../report/machine.ts';
import type { Advice } from './advice.ts';
import { type Cluster, REGISTRY_RATE, SUPERNODES } from './clusters.ts';

export interface SizingRow {
  readonly cluster: Cluster;
  readonly advice: Advice;
  /** The command that shows the time. */
  readonly command: string;
}

/** The whole page. The same rows give the same text. */
export function sizingPage(
  rows: readonly SizingRow[],
  { code, date, machine }: { readonly code: CodeVersion; readonly date: string; readonly machine: Machine },
): string {
  const changed = code.changed ? ' with changes that are not committed' : '';
  const parts = [
    '# Sizing: simulated clusters',
    'Written by `npm run bench:sizing`. All nodes pull the image at the same moment; the simulator runs the decision code of the daemons. For a cluster of your own, type its numbers into one of the commands.',
    `Commit ${code.commit.slice(0, 12)}${changed}, ${date}, RNG seed 1, Node ${machine.node.replace(/^v/, '')}. The registry sends ${REGISTRY_RATE} in all; nodes and supernodes have the same card.`,
    markdownTable(
      [
        ...[
          'nodes',
          'image',
          'card',
          'supernodes',
          'trackers',
          'last node done',
          'limit',
          'without Damselfly',
        ],
        ...['disk of a supernode', 'CPU of a node', 'command'],
      ],
      rows.map(rowOf),
    ),
    [
      `- **supernodes**: the fewest of ${SUPERNODES.join(', ')} that come within 5 % of the fastest. Two are for safety; one more for each zone that should pull while it is cut off.`,
      '- **trackers**: two for safety; one serves 50,000 nodes with two cores, by what 15,000 cost (`tracker-nodes` in [data-plane.md](data-plane.md)).',
      '- **limit**: the physical limit of these links, from [simulation.md](simulation.md). With fast cards a node’s first thread, which checks every byte, is slower than its card: that is what the time goes by there.',
      '- **without Damselfly**: all bytes from the registry at its full rate, which it will hardly keep up.',
      '- **disk of a supernode**: this image twice. Take the images of a day instead when you know them.',
      '- **CPU of a node**: seconds for this pull, sending and receiving, at 2.5 for a GB, the upper end of `piece-cpu-vs-raw-tls` in [data-plane.md](data-plane.md).',
    ].join('\n'),
  ];
  return `${parts.join('\n\n')}\n`;
}

function rowOf({ advice, cluster, command }: SizingRow): string[] {
  const seconds = (value: number): string => formatDuration(Math.round(value * 10) * 100);
  return [
    cluster.nodes.toLocaleString('en'),
    ...[cluster.image, cluster.card, String(advice.supernodes), String(advice.trackers)],
    seconds(advice.seconds),
    seconds(advice.limitSeconds),
    seconds(advice.directSeconds),
    formatBytes(advice.supernodeDiskBytes),
    `${advice.nodeCpuSeconds.toFixed(1)} s`,
    `\`${command}\``,
  ];
}
