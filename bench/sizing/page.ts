import { formatBytes, parseBytes, parseRate } from '../../lib/config/units.ts';
import { round } from '../fixtures/table.ts';
import type { Figure } from '../micro/row.ts';
import { codeVersion, describeMachine } from '../report/machine.ts';

/** One simulated pull by all nodes at the same moment. */
export interface SimulatedPull {
  readonly nodes: number;
  readonly image: string;
  /** Of each machine's network card, supernodes' too. */
  readonly rate: string;
  readonly supernodes: number;
  readonly seconds: { readonly p50: number; readonly p99: number };
  /** Bytes read from the registry, in images. */
  readonly originRatio: number;
}

export interface SizingFigures {
  readonly pulls: readonly SimulatedPull[];
  /** Microseconds of a tracker's one core. */
  readonly tracker: { readonly messageUs: number; readonly layerUs: number };
  readonly figures: readonly Figure[];
}

/** More supernodes than these shorten the pull by less than this share. */
const WORTH_IT = 0.1;
const FLEETS = [100, 1_000, 10_000, 50_000];
const LAYERS = 12;
/** Of the row `tracker-nodes`. */
const MEASURED_NODES = 50_000;
const GB = 1e9;
const MIB = 1024 * 1024;

/** docs/benchmarks/sizing.md, with what was measured just now. */
export async function sizingPage({ figures, pulls, tracker }: SizingFigures): Promise<string> {
  const { commit, changed } = await codeVersion();
  const { cores, cpu, memoryBytes, node, system } = describeMachine();
  const figure = (row: string): Figure => {
    const found = figures.find((each) => each.row === row);
    if (found === undefined) throw new Error(`${row} was not measured`);
    return found;
  };
  const perGB = figure('piece-cpu-vs-raw-tls').cpuSecondsPerGB?.ours ?? Number.NaN;
  const perNodeBytes = (figure('tracker-nodes-rss-mib').value * MIB) / MEASURED_NODES;
  const rates = [...new Set(pulls.map(({ rate }) => rate))];
  return `${[
    '# Sizing: measured and simulated',
    'Written by `npm run bench:sizing`. How to use it: [OPERATIONS.md](../OPERATIONS.md#sizing).',
    `Commit \`${commit.slice(0, 12)}\`${changed ? ' with changes' : ''}, ${cpu}, ${cores} cores, ${formatBytes(memoryBytes)}, ${system}, Node ${node}.`,
    '## Supernodes and time',
    `Every node asks for the same image of one layer at the same moment; each machine, supernodes too, has the network card of the row, and the registry gives what they take. The fewest supernodes of at most ${Math.max(...pulls.map(({ supernodes }) => supernodes))} than which more would shorten the slowest node's pull by less than ${WORTH_IT * 100} %. Simulated with the daemon's own decisions and costs (\`npm run bench:sim\`).`,
    table(
      [
        'nodes',
        'image',
        'network card',
        'supernodes',
        'half of the nodes, s',
        '99 % of them, s',
        'registry',
        'one after another from the registry, s',
      ],
      chosen(pulls).map(({ image, nodes, originRatio, rate, seconds, supernodes }) => [
        ...[String(nodes), image, rate, String(supernodes), seconds.p50.toFixed(1), seconds.p99.toFixed(1)],
        `${originRatio.toFixed(2)}x`,
        ((nodes * parseBytes(image)) / parseRate(rate)).toFixed(0),
      ]),
    ),
    'The last column is what the same card at the registry would need for all of them without Damselfly.',
    '## Nodes',
    `Receiving, verifying, storing and sending a GB over mutual TLS costs ${round(perGB)} CPU seconds of both sides together (\`piece-cpu-vs-raw-tls\`), most of them of who receives. A daemon under load takes ${Math.ceil(figure('rss-mib-load').value)} MiB (\`rss-mib\`).`,
    table(
      ['network card', 'cores busy while a node receives and sends at its full rate'],
      rates.map((rate) => [rate, ((perGB * parseRate(rate)) / GB).toFixed(1)]),
    ),
    '## Trackers',
    `A message read or written takes ${tracker.messageUs.toFixed(1)} µs of a tracker's one core, a layer in it ${tracker.layerUs.toFixed(1)} µs (\`node bench/micro/tracker-costs.ts\`); ${MEASURED_NODES} connected nodes take ${Math.ceil(figure('tracker-nodes-rss-mib').value)} MiB (\`tracker-nodes\`, without TLS).`,
    table(
      [
        'nodes',
        `CPU seconds when all ask for an image of ${LAYERS} layers at once`,
        'memory for connected nodes',
      ],
      FLEETS.map((nodes) => [
        String(nodes),
        ((nodes * (2 * tracker.messageUs + LAYERS * tracker.layerUs)) / 1e6).toFixed(2),
        `${Math.ceil((nodes * perNodeBytes) / MIB)} MiB`,
      ]),
    ),
  ].join('\n\n')}\n`;
}

/** Of each cluster, the fewest supernodes that are worth it. */
function chosen(pulls: readonly SimulatedPull[]): SimulatedPull[] {
  const clusters = Map.groupBy(pulls, ({ image, nodes, rate }) => `${nodes} ${image} ${rate}`);
  return [...clusters.values()].flatMap((same) => {
    const best = Math.min(...same.map(({ seconds }) => seconds.p99));
    const enough = same
      .filter(({ seconds }) => seconds.p99 * (1 - WORTH_IT) <= best)
      .sort((a, b) => a.supernodes - b.supernodes);
    return enough.slice(0, 1);
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
