import t from 'tap';
import { simulatedBlob } from '../../bench/simulate/scenario.ts';
import { Simulation } from '../../bench/simulate/swarm/simulation.ts';
import type { Came } from '../../bench/simulate/swarm/world.ts';
import { completionOf } from '../../bench/trace/completion.ts';
import { plotTraces } from '../../bench/trace/plot-trace.ts';
import { readTrace } from '../../bench/trace/read-trace.ts';
import { simulatedTrace } from '../../bench/trace/simulated-trace.ts';
import { explainBlob } from '../../lib/observe/explain.ts';
import { BASE, MIB } from './simulated.ts';

const scenario = { ...BASE, nodes: 12, blobs: [simulatedBlob(20 * MIB, MIB), simulatedBlob(700_000)] };
const BYTES = 20 * MIB + 700_000;
const came: Came[] = [];
const outcome = new Simulation(scenario, undefined, (piece) => void came.push(piece)).run(() => {});
const processes = readTrace(simulatedTrace(scenario, outcome, came), 'simulated.jsonl');

t.test('the simulator writes a trace of each node, as daemons do', async (t) => {
  t.equal(processes.length, scenario.nodes);
  for (const { head, lines } of processes) {
    for (const line of lines) {
      if (line.kind !== 'pull') continue;
      const { bytes, outcome: how, size } = explainBlob(lines, line.digest, head.nowMs);
      t.equal(how, 'complete');
      t.equal(bytes.peer + bytes.supernode + bytes.registry, size, 'every byte is accounted for');
    }
  }
  t.ok(
    processes.some(({ lines }) => lines.some((line) => line.kind === 'piece' && line.source === 'peer')),
    'nodes gave each other some',
  );
});

t.test('a completion curve ends with the last byte, and shows none before it is here', async (t) => {
  const { bytes, processes: count, steps } = completionOf(processes);
  t.equal(count, scenario.nodes);
  t.equal(bytes, scenario.nodes * BYTES);
  const last = steps.at(-1);
  t.ok(Math.abs((last?.share ?? 0) - 1) < 1e-9);
  t.ok(Math.abs((last?.seconds ?? 0) - Math.max(...outcome.seconds)) < 1e-6, 'when the slowest node is done');
  for (const { seconds, share } of steps) {
    const here = came.filter(({ atMs, node }) => atMs / 1000 - outcome.joinedAt[node]! <= seconds + 1e-9);
    const hereBytes = here.reduce((sum, { blob, piece }) => {
      const { bytes: size, pieceBytes } = scenario.blobs[blob]!;
      return sum + Math.min(pieceBytes, size - piece * pieceBytes);
    }, 0);
    t.ok(share <= hereBytes / bytes + 1e-9, `${share} after ${seconds} s`);
  }
});

t.test('what was here before, and what came past the swarm, counts', async (t) => {
  const head = { kind: 'trace', id: 'a', role: 'node', version: '1', nowMs: 9, wallMs: 9, lost: 0 };
  const digest = `sha256:${'a'.repeat(64)}`;
  const pull = { pull: 1, digest };
  const events = [
    { kind: 'pull', ...pull, size: 100, askedMs: 1000, atMs: 1100 },
    { kind: 'piece', digest, index: 0, source: 'peer', bytes: 30, generation: '0', atMs: 1500 },
    { kind: 'piece', digest, index: 0, source: 'peer', bytes: 30, generation: '0', atMs: 1600 },
    { kind: 'pull-end', ...pull, outcome: 'complete', hereBytes: 20, directBytes: 50, atMs: 3000 },
    { kind: 'pull', pull: 2, digest, size: 100, askedMs: 4000, atMs: 4000 },
    { kind: 'pull-end', pull: 2, digest, outcome: 'complete', hereBytes: 100, directBytes: 0, atMs: 4100 },
  ];
  const text = [head, ...events].map((event) => JSON.stringify(event)).join('\n');
  const completion = completionOf(readTrace(text, 'x'));
  t.same(completion.steps, [
    { seconds: 0.1, share: 0.2 },
    { seconds: 0.5, share: 0.5 },
    { seconds: 2, share: 1 },
  ]);
  const svg = plotTraces([{ name: 'a & b', ...completion }]);
  t.match(svg, 'a &amp; b: 100 B on 1 process; half after 0.50 s, 99 % after 2.00 s, all after 2.00 s');
  t.equal(svg.match(/class="curve"/g)?.length, 1);
});

t.test('what is no trace is refused, with its line', async (t) => {
  const wrong = (text: string, message: RegExp): void =>
    void t.throws(() => readTrace(text, 'file'), { code: 'CONFIG_INVALID', message });
  wrong('', /^file: there is no trace/);
  wrong('{"kind":"piece"}', /^file:1: a trace begins with its head/);
  wrong('{"kind":"trace"}\n\n{"kind":', /^file:3: this is no event/);
  wrong('null', /^file:1: this is no event/);
});
