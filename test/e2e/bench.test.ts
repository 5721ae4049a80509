import { join } from 'node:path';
import t from 'tap';
import type { DemoReport } from '../../bench/demo/run-demo.ts';
import { run } from '../../bench/fixtures/child.ts';
import type { LiveReport } from '../../bench/live/run-live.ts';
import { skipReason } from '../helpers/clients/client.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const noRegistry = skipReason({ programs: ['docker-registry', 'ip', 'tc'] });
const TIMEOUT_MS = 180_000;

/** Those of benches; whoever ended one by force has some left. */
async function namespaces(): Promise<readonly string[]> {
  const { stdout } = await run('ip', ['netns', 'list']);
  return stdout.match(/^df\d+n\d+/gm)?.sort() ?? [];
}

t.test('the demo shows one read of the registry and equal digests', async (t) => {
  const main = join(ROOT, 'bench', 'demo', 'main.ts');
  const flags = ['--nodes', '3', '--image-bytes', '24MiB', '--json'];
  const { code, stdout, output } = await run(process.execPath, [main, ...flags], { timeoutMs: TIMEOUT_MS });
  t.equal(code, 0, output);
  const report = JSON.parse(stdout) as DemoReport;
  t.ok(report.registryRatio >= 1 && report.registryRatio <= 1.01, `registry ratio ${report.registryRatio}`);
  t.match(report.nodes, Array(3).fill({ verified: true }));
});

t.test(
  'the live bench measures a cluster with capped links against direct pulls',
  { skip: noRegistry },
  async (t) => {
    const before = await namespaces();
    const main = join(ROOT, 'bench', 'live', 'main.ts');
    const size = ['--nodes', '4', '--supernodes', '1', '--image-bytes', '24MiB', '--layers', '3'];
    const caps = ['--registry-rate', '20MB/s', '--node-rate', '100MB/s'];
    const { code, stdout, output } = await run(process.execPath, [main, ...size, ...caps, '--json'], {
      timeoutMs: TIMEOUT_MS,
    });
    t.equal(code, 0, output);
    const report = JSON.parse(stdout) as LiveReport;
    t.match(report, {
      ...{ nodes: 4, supernodes: 1, layers: 3, complete: 4, failures: [] },
      ...{ registryRateBytesPerSecond: 20e6, nodeRateBytesPerSecond: 100e6 },
      ...{
        seconds: { p50: Number, p99: Number, max: Number },
        firstByteSeconds: { p50: Number, max: Number },
      },
      ...{ originRequests: Number, cpuSecondsPerGB: Number, peakRssBytes: Number },
    });
    t.ok(report.originRatio >= 1 && report.originRatio <= 1.01, `origin ratio ${report.originRatio}`);
    t.ok((report.directSeconds ?? 0) >= 4, 'four direct pulls at 20 MB/s cannot be faster');
    t.ok((report.ratioToDirect ?? 9) < 1, `${report.ratioToDirect} times the time of direct pulls`);
    t.same(await namespaces(), before, 'no namespace is left behind');
  },
);
