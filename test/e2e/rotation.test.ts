import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { sumMetric } from '../../bench/fixtures/metrics.ts';
import { pullImage } from '../../bench/fixtures/pull.ts';
import { until } from '../helpers/bucket-scene.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const DAMSELFLY = join(import.meta.dirname, '..', '..', 'bin', 'damselfly');
/** Of each of the two steps; the pull takes longer than both. */
const OVERLAP_S = 6;
const DEADLINE_MS = 10_000;

/** The certificate that a port shows, and whether who holds these keys is answered there. */
function meet(
  address: string,
  keys: { readonly key?: string | Buffer; readonly cert?: string | Buffer } = {},
): Promise<{ readonly shown: X509Certificate | undefined; readonly answered: boolean }> {
  const [host = '', port = ''] = address.split(':');
  return new Promise((resolve) => {
    const socket = connectTls({ ...keys, host, port: Number(port), rejectUnauthorized: false });
    let shown: X509Certificate | undefined;
    let answered = false;
    socket.on('secureConnect', () => {
      shown = socket.getPeerX509Certificate();
      socket.write('GET /nothing HTTP/1.1\r\nhost: peer\r\n\r\n');
    });
    socket.on('data', () => {
      answered = true;
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve({ shown, answered }));
    socket.setTimeout(DEADLINE_MS, () => socket.destroy());
  });
}

t.test(
  'the authority and all certificates rotate during a pull without one failed request',
  { skip, timeout: 120_000 },
  async (t) => {
    await using stage = await createStage('rotation', {
      image: { totalBytes: 30 * MIB, layers: 2 },
      registryRate: 2 * MIB,
    });
    const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
    const caDir = cluster.caDir ?? '';
    const peers = [...cluster.supernodes, ...cluster.daemons];
    const ports = [cluster.tracker.ready.listen, ...peers.map(({ ready }) => ready.peer)];
    const admins = peers.map(({ ready }) => ready.admin);
    const authority = (name: string): X509Certificate => new X509Certificate(readFileSync(join(caDir, name)));
    const old = authority('ca.crt');
    const identity = join(stage.folder, 'node0', 'identity');
    const before = {
      key: readFileSync(join(identity, 'member.key')),
      cert: readFileSync(join(identity, 'member.crt')),
    };
    for (const port of ports) t.ok((await meet(port)).shown?.verify(old.publicKey), port);
    t.equal((await meet(ports[2] ?? '', before)).answered, true, 'who has a certificate of it is answered');

    const ended: number[] = [];
    const pulls = Promise.all(
      cluster.daemons.map(async (daemon) => {
        const pull = { base: proxyUrl(daemon), repository: stage.repository, tag: stage.image.tag };
        const result = await pullImage(pull, { signal: AbortSignal.timeout(60_000) });
        ended.push(performance.now());
        return result;
      }),
    );
    const startedMs = performance.now();
    const rotated = await run(DAMSELFLY, [
      'ca',
      'rotate',
      '--json',
      '--ca-dir',
      caDir,
      '--overlap',
      `${OVERLAP_S}s`,
    ]);
    t.equal(rotated.code, 0, rotated.output);
    const { dropsOld } = JSON.parse(rotated.stdout) as { dropsOld: string };
    const next = authority('next.crt');
    const again = await run(DAMSELFLY, ['ca', 'rotate', '--ca-dir', caDir]);
    t.match(again, { code: 2, output: /being replaced already/ });

    const results = await pulls;
    for (const { blobDigests } of results) t.equal(blobDigests.length, 3);
    t.ok(
      Math.min(...ended) - startedMs > 2 * OVERLAP_S * 1000,
      'the pulls have lasted longer than the rotation',
    );
    const leftMs = Math.max(0, Date.parse(dropsOld) - Date.now());
    t.equal(leftMs, 0, 'which is over');

    for (const port of ports) {
      t.ok((await meet(port)).shown?.verify(next.publicKey), `${port}: a new certificate`);
    }
    // Members hear of it a moment later. Only the knock that is refused is counted.
    const isOut = async (): Promise<boolean> => !(await meet(ports[2] ?? '', before)).answered;
    await until(isOut, 'the old authority counts no more');
    const after = {
      key: readFileSync(join(identity, 'member.key')),
      cert: readFileSync(join(identity, 'member.crt')),
    };
    t.equal((await meet(ports[2] ?? '', after)).answered, true, 'the new one does');
    // We have knocked twice at each without a certificate, and once with the old one.
    const knocks = 2 * peers.length + 1;
    t.equal(await sumMetric(admins, 'damselfly_strangers_total'), knocks, 'no member was refused by another');
    t.equal(await sumMetric(admins, 'damselfly_fallback_total'), 0, 'and no node has had to help itself');
  },
);
