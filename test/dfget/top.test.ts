import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import type { DaemonStatus } from '../../dfget/local-protocol.ts';
import { drawTop, topLine } from '../../dfget/top/draw.ts';
import { viewOf } from '../../dfget/top/view.ts';
import { startGround } from '../conformance/ground.ts';

const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const KEY = `url:${'c'.repeat(64)}`;
const NEXT = `sha256:${'a'.repeat(64)}`;
const WHOLE = `sha256:${'b'.repeat(64)}`;

function status(held: number, traffic: DaemonStatus['traffic'], more = {}): DaemonStatus {
  const blob = (digest: string, here: number, readers: number) => ({
    ...{ digest, size: 100 * MIB, pieces: 100, held: here, readers, efficiency: null },
  });
  return {
    ...{ id: '7'.repeat(40), zone: 'eu-1', cluster: null, upstreams: [], proxy: [], peer: '', admin: '' },
    tracker: { reachable: true, urls: [] },
    discovery: { mode: 'auto', by: 'tracker' },
    ...{ paused: [], pausedHere: [], dataDir: '/data' },
    store: { blobs: 3, complete: 1, bytes: 150 * MIB },
    neighbours: ['node', 'node', 'supernode'].map((role, index) => ({
      ...{ id: String(index).repeat(40), role, host: 'h', port: 1, zone: '' },
    })),
    blobs: [blob(WHOLE, 100, 0), blob(KEY, 0, 0), blob(NEXT, held, 2)],
    ...(traffic === undefined ? {} : { traffic }),
    ...more,
  };
}

const BEFORE = {
  status: status(40, { received: { peer: 0, origin: 5 * MIB }, sent: { peer: 0 } }),
  atMs: 1000,
};
const NOW = {
  status: status(60, { received: { peer: 40 * MIB, origin: 5 * MIB }, sent: { peer: 10 * MIB } }),
  atMs: 3000,
};

t.test('rates are what changed between two samples', async (t) => {
  const view = viewOf(BEFORE, NOW);
  t.same(view.receiving, { peer: 20 * MIB, origin: 0 });
  t.same(view.sending, { peer: 5 * MIB });
  t.same(view.neighbours, { nodes: 2, supernodes: 1 });
  t.match(view.blobs[0], { digest: NEXT, done: 0.6, bytesPerSecond: 10 * MIB, secondsLeft: 4, readers: 2 });
  t.same(
    view.blobs.map(({ digest }) => digest),
    [NEXT, KEY, WHOLE],
    'what moves first, what is whole last',
  );
});

t.test('nothing is known to move at first, after a restart, or of an older daemon', async (t) => {
  for (const view of [viewOf(undefined, NOW), viewOf(NOW, { ...BEFORE, atMs: 4000 })]) {
    t.same(view.receiving, { peer: 0, origin: 0 });
    t.ok(view.blobs.every(({ bytesPerSecond }) => bytesPerSecond === 0));
  }
  t.same(viewOf(undefined, { status: status(1, undefined), atMs: 0 }).receiving, {});
});

t.test('a picture fits its terminal', async (t) => {
  const view = viewOf(BEFORE, NOW);
  const text = drawTop(view, { columns: 120, rows: 24 }).join('\n');
  t.match(text, /node 77777777 {2}zone eu-1 {2}peers by tracker/);
  t.match(text, /in {3}20.0 MiB\/s \(nodes\)/);
  t.match(text, /sha256:aaaaaaaaaaaa {3}100.0 MiB {2}\[#{12}\.{8}\] 60% {4}10.0 MiB\/s {5}4.0 s {2}2/);
  for (const [columns, rows] of [
    [40, 8],
    [10, 3],
    [120, 7],
  ] as const) {
    const lines = drawTop(view, { columns, rows });
    t.ok(lines.length <= rows && lines.every((line) => line.length <= columns), `${columns}x${rows}`);
  }
  t.match(drawTop(view, { columns: 80, rows: 8 }).at(-1), 'and 2 more');
  t.match(
    topLine(view),
    /^in 20.0 MiB\/s \(nodes\); out 5.0 MiB\/s \(nodes\); 1 of 3 blobs move, 3 neighbours$/,
  );
});

t.test('of a daemon that runs', async (t) => {
  const ground = await startGround({ upstreams: {} });
  t.teardown(() => ground.close());
  const top = (...flags: string[]) =>
    run(DFGET, ['top', '--socket', ground.socket, '--interval', '100ms', '--count', '2', ...flags]);
  const json = await top('--json');
  t.equal(json.code, 0, json.output);
  const events = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  t.equal(events.length, 2);
  t.match(events, [{ event: 'top', peersBy: 'tracker', blobs: [] }, { receiving: {} }]);
  const plain = await top();
  t.match(plain.stdout.split('\n'), [/^in 0 B\/s; out/, /^in 0 B\/s/]);
  t.notMatch(plain.stdout, '\x1b');
  const words = [DFGET, 'top', '--socket', ground.socket, '--interval', '100ms', '--count', '2'];
  const screen = await run('script', ['-qec', words.join(' '), '/dev/null']);
  t.match(screen.stdout, /\x1b\[\?1049h[^]*node [0-9a-f]{8}[^]*\x1b\[\?1049l/, 'a picture on a terminal');
  t.equal((await top('--count', '0')).code, 2);
  t.equal((await run(DFGET, ['top', '--socket', '/nowhere'])).code, 1);
});
