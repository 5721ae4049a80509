import { parseArgs } from 'node:util';
import { formatBytes, formatRate, parseBytes, parseRate } from '../../lib/config/units.ts';
import { exitCodeOf, interruptSignal, parseCount } from '../fixtures/command-line.ts';
import { canCreateNetwork } from '../fixtures/network.ts';
import { twoColumns } from '../fixtures/table.ts';
import { type LiveReport, runLive } from './run-live.ts';

const HELP = `Measures a real cluster on this machine: docker-registry behind a relay that caps its egress, a tracker,
supernodes, and N node daemons in their own network namespaces with capped links. All nodes pull one image at once;
then the same number of clients pull it directly through the same capped relay.

  npm run bench:live -- --nodes 20 --image-bytes 512MiB --layers 4
  npm run bench:live -- --nodes 8 --image-bytes 256MiB --registry-rate none --node-rate none --no-direct --json

  --nodes N             node daemons (20)
  --supernodes N        (2)
  --image-bytes BYTES   (512MiB)
  --layers N            (4)
  --images N            pulled one after the other; of the later ones only the CPU is told (1)
  --registry-rate RATE  cap on the registry's total egress, or none (100MB/s)
  --node-rate RATE      cap on each node's link in each direction, or none (400MB/s; needs root)
  --no-direct           without the baseline
  --keep                leave data and logs behind and say where
  --json                one JSON object on stdout

Exit code 0: every node has the whole image; 1: not so; 2: wrong usage.
`;

const signal = interruptSignal();
try {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '20' },
      supernodes: { type: 'string', default: '2' },
      'image-bytes': { type: 'string', default: '512MiB' },
      layers: { type: 'string', default: '4' },
      images: { type: 'string', default: '1' },
      'registry-rate': { type: 'string', default: '100MB/s' },
      'node-rate': { type: 'string' },
      'no-direct': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
  } else {
    const report = await runLive({
      nodes: parseCount('--nodes', values.nodes),
      supernodes: parseCount('--supernodes', values.supernodes, 0),
      imageBytes: parseBytes(values['image-bytes']),
      layers: parseCount('--layers', values.layers),
      images: parseCount('--images', values.images),
      registryRate: rateOf(values['registry-rate']),
      nodeRate: nodeRateOf(values['node-rate']),
      direct: !values['no-direct'],
      keep: values.keep,
      signal,
    });
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : describe(report));
    process.exitCode = report.complete === report.nodes ? 0 : 1;
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}

function rateOf(text: string): number {
  return text === 'none' ? Number.POSITIVE_INFINITY : parseRate(text);
}

function nodeRateOf(text: string | undefined): number {
  if (text !== undefined || canCreateNetwork()) return rateOf(text ?? '400MB/s');
  process.stderr.write('Not root: the links of the nodes are not capped.\n');
  return Number.POSITIVE_INFINITY;
}

function describe(report: LiveReport): string {
  const { seconds, firstByteSeconds, directSeconds, ratioToDirect } = report;
  const rate = (bytesPerSecond: number | null): string =>
    bytesPerSecond === null ? 'not capped' : formatRate(bytesPerSecond);
  return `\n${twoColumns([
    ['nodes complete', `${report.complete} of ${report.nodes}`],
    ['image', `${formatBytes(report.imageBytes)} in ${report.layers} layers`],
    ['registry egress', rate(report.registryRateBytesPerSecond)],
    ['node links', rate(report.nodeRateBytesPerSecond)],
    [
      'from the registry',
      `${formatBytes(report.originBytes)} = ${report.originRatio.toFixed(2)}x, ${report.originRequests} requests`,
    ],
    ['from supernodes', formatBytes(report.receivedBytes.supernode)],
    ['from other nodes', formatBytes(report.receivedBytes.peer)],
    [
      'seconds',
      `p50 ${seconds.p50}, p99 ${seconds.p99}, max ${seconds.max}, ideal ${report.idealSeconds ?? 'unknown'}`,
    ],
    ['first byte', `p50 ${firstByteSeconds.p50}, max ${firstByteSeconds.max} s`],
    [
      'direct',
      directSeconds === null ? 'not measured' : `${directSeconds} s; ours is ${ratioToDirect ?? 0}x of that`,
    ],
    ['CPU', `${report.cpuSecondsPerGB} s per GB delivered`],
    ...Object.entries(report.cpu).map(([who, { engine, files, loop }]): [string, string] => [
      `  ${who}`,
      `event loop ${loop}, files ${files}, compiler and garbage ${engine}`,
    ]),
    ...(report.laterCpuSecondsPerGB.length === 0
      ? []
      : [['  later images', report.laterCpuSecondsPerGB.join(', ')] as [string, string]]),
    ['largest process', formatBytes(report.peakRssBytes)],
    ...report.failures.map((reason): [string, string] => ['FAILED', reason]),
  ])}`;
}
