import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { sumMetric } from '../../bench/fixtures/metrics.ts';
import { canCreateNetwork, createNetwork } from '../../bench/fixtures/network.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const NODES = 4;
/** Nodes that drop whoever dials them. */
const WALLED = [0, 2];
const skip =
  skipReason({ programs: ['docker-registry', 'iptables'] }) || (!canCreateNetwork() && 'needs root');

t.test(
  'half of the nodes drop who dials them: one read of the registry, and they upload too',
  { skip },
  async (t) => {
    await using stage = await createStage('undialled', { image: { totalBytes: 64 * MIB, layers: 2 } });
    const network = await createNetwork({ nodes: NODES, bytesPerSecond: 40 * MIB });
    stage.cleanup.defer(() => network.remove());
    for (const index of WALLED) {
      const inside = ['netns', 'exec', network.nodes[index]!.namespace, 'iptables'];
      // Clients of its own come over the other link.
      const { code, output } = await run('ip', [
        ...inside,
        '-A',
        'INPUT',
        '-i',
        'eth0',
        '-p',
        'tcp',
        '--syn',
        '-j',
        'DROP',
      ]);
      t.equal(code, 0, output);
    }
    const way = await startChild<{ listen: string }>({
      command: process.execPath,
      args: [
        join(import.meta.dirname, '..', '..', 'bench', 'fixtures', 'shaper-main.ts'),
        ...['--target', stage.registry.address, '--listen', `${network.host}:0`],
      ],
      logFile: join(stage.folder, 'way.log'),
      ready: jsonReady('shaper'),
    });
    stage.cleanup.defer(() => way.stop());
    const cluster = await stage.startCluster({
      ...{ nodes: NODES, supernodes: 1, network },
      upstreams: { [NAMESPACE]: `http://${way.ready.listen}` },
    });
    const before = await stage.registry.counters();
    const { image, repository } = stage;
    const targets = cluster.daemons.map((daemon) => ({ base: proxyUrl(daemon), repository, tag: image.tag }));
    const outcomes = await pullTogether(targets, { signal: AbortSignal.timeout(60_000), workers: 2 });
    const done = { kind: 'done', result: { manifestDigest: image.manifest.digest, bytes: image.bytes } };
    t.match(outcomes, Array(NODES).fill(done));
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= image.bytes * 1.001, `the registry sent ${(bytes / image.bytes).toFixed(4)}x`);
    for (const [index, { ready }] of cluster.daemons.entries()) {
      const sent = await sumMetric([ready.admin], 'damselfly_sent_bytes_total', { to: 'peer' });
      const opened = await sumMetric([ready.admin], 'damselfly_reversed_connections_total', {
        outcome: 'opened',
      });
      const shutOut = await sumMetric([ready.admin], 'damselfly_peer_links_not_dialled');
      t.comment(
        `node ${index}: gave ${(sent / MIB).toFixed(1)} MiB, opened ${opened}, ${shutOut} cannot dial it`,
      );
      // On a busy machine those that can be dialled may be asked too.
      if (!WALLED.includes(index)) continue;
      t.ok(sent >= 2 * MIB, `node ${index} cannot be dialled and gave ${sent} bytes`);
      t.ok(opened > 0, `node ${index} opened ${opened} connections to be asked on`);
      t.ok(shutOut > 0, `${shutOut} neighbours cannot dial node ${index}`);
    }
    const socket = cluster.daemons[0]!.ready.socket;
    const doctor = await run(join(import.meta.dirname, '..', '..', 'bin', 'dfget'), [
      'doctor',
      '--socket',
      socket,
    ]);
    t.match(doctor.output, /this node cannot be dialled: [12] of /);
  },
);
