import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { createAuthority } from '../../bench/fixtures/certificates.ts';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';
import { parseMetrics, sumMetric } from '../../bench/fixtures/metrics.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const bin = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name);

/** What a connection with these keys is told by a peer port that is asked for anything. */
function answerTo(
  address: string,
  keys: { readonly key?: string | Buffer; readonly cert?: string | Buffer },
) {
  const [host = '', port = ''] = address.split(':');
  return new Promise<string>((resolve) => {
    const socket = connectTls({ ...keys, host, port: Number(port), rejectUnauthorized: false });
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.setTimeout(10_000, () => socket.destroy());
    socket.write('GET /v1/blobs/x HTTP/1.1\r\nhost: peer\r\n\r\n');
  });
}

t.test(
  'a cluster with identities: tokens, a pull over TLS, and nothing for strangers',
  { skip },
  async (t) => {
    await using stage = await createStage('identity', { image: { totalBytes: 12 * MIB, layers: 2 } });
    const { folder, image, registry, repository } = stage;
    const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
    const admins = cluster.daemons.map(({ ready }) => ready.admin);
    const tracker = `wss://${cluster.tracker.ready.listen}`;

    await t.test('all nodes pull, and the registry sends the image once', async (t) => {
      const before = await registry.counters();
      const pulls = cluster.daemons.map(({ ready }) =>
        run(bin('dfget'), [
          'pull',
          '--json',
          '--socket',
          ready.socket,
          `${NAMESPACE}/${repository}:${image.tag}`,
        ]),
      );
      for (const { code, output } of await Promise.all(pulls)) t.equal(code, 0, output);
      const { bytes } = countersSince(before, await registry.counters());
      t.ok(bytes <= image.bytes * 1.01, `${bytes} bytes for ${image.bytes}`);
      t.ok((await sumMetric(admins, 'damselfly_received_bytes_total', { source: 'supernode' })) > 0);
      t.equal(await sumMetric(admins, 'damselfly_insecure'), 0);
    });

    await t.test('no node says that anything is insecure, and status names the cluster', async (t) => {
      for (const { ready } of cluster.daemons) {
        const { notes } = (await (await fetch(`http://${ready.admin}/readyz`)).json()) as { notes: string[] };
        t.notOk(notes.some((note) => note.includes('insecure')));
        const { stdout } = await run(bin('dfget'), ['status', '--json', '--socket', ready.socket]);
        t.match(JSON.parse(stdout), { cluster: 'damselfly', tracker: { reachable: true } });
        const doctor = await run(bin('dfget'), ['doctor', '--json', '--socket', ready.socket]);
        t.match(doctor.stdout, /at least one answers the daemon/);
      }
    });

    await t.test('strangers get no byte from a peer port, and are counted', async (t) => {
      const stranger = await (await createAuthority('damselfly')).issue('a'.repeat(40), 'node');
      const peer = cluster.daemons[0]?.ready.peer ?? '';
      t.equal(await answerTo(peer, {}), '', 'without a certificate');
      t.equal(await answerTo(peer, stranger), '', 'of another authority with the same name');
      const page = await (await fetch(`http://${admins[0] ?? ''}/metrics`)).text();
      const reasons = parseMetrics(page).filter(({ name }) => name === 'damselfly_strangers_total');
      t.same(
        reasons.map(({ labels, value }) => [labels['reason'], value]),
        [
          ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 1],
          ['SELF_SIGNED_CERT_IN_CHAIN', 1],
        ],
      );
    });

    await t.test('the cluster is paused by its tracker only with the authority', async (t) => {
      const pause = (caDir: string) =>
        run(bin('damselfly'), ['pause', '--tracker', tracker, '--ca-dir', caDir]);
      t.match(await pause(join(folder, 'nowhere')), { code: 2, output: /no authority of a cluster there/ });
      const paused = await pause(join(folder, 'ca'));
      t.equal(paused.code, 0, paused.output);
    });

    await t.test('a daemon without a token does not start, and says what it needs', async (t) => {
      const { code, output } = await run(bin('dfget'), [
        ...[
          'daemon',
          '--tracker',
          tracker,
          '--data-dir',
          join(folder, 'lone'),
          '--socket',
          join(folder, 'lone.sock'),
        ],
      ]);
      t.equal(code, 2);
      t.match(output, /damselfly token create --role node/);
    });
  },
);

t.test('a process alone on its machine needs no token, and trusts nobody', { skip }, async (t) => {
  await using stage = await createStage('alone', { image: { totalBytes: MIB, layers: 1 } });
  const { folder } = stage;
  const free = '127.0.0.1:0';
  const daemon = await startChild<DaemonReady>({
    command: bin('dfget'),
    args: [
      ...['daemon', '--json', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
      ...['--data-dir', join(folder, 'node'), '--socket', join(folder, 'node.sock')],
      ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
    ],
    logFile: join(folder, 'node.log'),
    ready: jsonReady('daemon'),
  });
  stage.cleanup.defer(() => daemon.stop());
  t.match(await (await fetch(`http://${daemon.ready.admin}/readyz`)).json(), { status: 'ready', notes: [] });
  t.equal(await answerTo(daemon.ready.peer, {}), '');
});
