import { formatBytes } from '../../lib/config/units.ts';
import { twoColumns } from '../fixtures/table.ts';
import { type DemoReport, isGood } from './run-demo.ts';

/** The report for people, and what to type next. */
export function describeDemo(report: DemoReport): string {
  const { imageBytes, nodes } = report;
  const rows = nodes.map(({ node, verified, failure, seconds, firstByteSeconds }): [string, string] => [
    `node ${node}`,
    failure === undefined
      ? `${(seconds ?? 0).toFixed(2)} s, first byte after ${(firstByteSeconds ?? 0).toFixed(2)} s, ` +
        (verified ? 'all digests match' : 'A DIGEST DIFFERS')
      : `FAILED: ${failure}`,
  ]);
  const table = twoColumns([
    ['image', `${formatBytes(imageBytes)}, ${report.manifestDigest}`],
    ...rows,
    [
      'from the registry',
      `${formatBytes(report.registryBytes)} = ${report.registryRatio.toFixed(2)}x the image, ` +
        `in ${report.registryRequests} requests`,
    ],
    [
      'without Damselfly',
      `${formatBytes(imageBytes * nodes.length)} = ${nodes.length.toFixed(2)}x the image`,
    ],
    ['from supernodes', formatBytes(report.supernodeBytes)],
    ['from other nodes', formatBytes(report.peerBytes)],
  ]);
  const verdict = isGood(report)
    ? 'The registry sent the image once; every node has it, every digest checked.'
    : 'This is NOT as it should be: see above.';
  return `\n${table}\n${verdict}\n\n${NEXT}`;
}

const NEXT = `Next, with your own registry:
  bin/damselfly up --upstream harbor.example.com=https://harbor.example.com
  bin/dfget pull harbor.example.com/team/app:v1
`;
