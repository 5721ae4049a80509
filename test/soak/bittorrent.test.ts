import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Tracker from 'bittorrent-tracker/server';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { createNetwork } from '../../bench/fixtures/network.ts';
import type { CacheListing } from '../../dfget/local-protocol.ts';
import type { Share } from '../../dfget/torrent/share-protocol.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';
import { aria2, transmission } from '../helpers/torrent-clients.ts';

const CLIENTS = [aria2, transmission];
const skip = skipReason({
  programs: ['docker-registry', 'ip', 'tc', ...CLIENTS.flatMap(({ programs }) => programs)],
});
const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const DAMSELFLY = join(import.meta.dirname, '..', '..', 'bin', 'damselfly');
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/**
 * A node, and namespaces for clients: transmission speaks to nobody at a loopback address, and to one client at an
 * address.
 */
async function createGround(
  name: string,
  clients: number,
  { secure = false }: { readonly secure?: boolean } = {},
) {
  const stage = await createStage(name, { image: { totalBytes: 12 * MIB, layers: 2 } });
  const network = await createNetwork({ nodes: clients, bytesPerSecond: 400 * MIB });
  stage.cleanup.defer(() => network.remove());
  const daemonFlags = ['--bt-listen', `${network.host}:0`];
  const here = { ...network, nodes: [] };
  const cluster = await stage.startCluster({
    ...{ nodes: 1, supernodes: 0, network: here, daemonFlags },
    secure,
  });
  stage.cleanup.defer(() => cluster.stop());
  const socket = cluster.daemons[0]?.ready.socket ?? '';
  const dfget = (...args: string[]) => run(DFGET, [...args, '--socket', socket]);
  const ok = async (...args: string[]): Promise<string> => {
    const { code, output, stdout } = await dfget(...args);
    if (code !== 0) throw new Error(`dfget ${args.join(' ')} ended with ${code}: ${output}`);
    return stdout;
  };
  const held = async (): Promise<Map<string, boolean>> => {
    const { blobs } = JSON.parse(await ok('cache', 'ls', '--json')) as CacheListing;
    return new Map(blobs.map(({ complete, digest }) => [digest, complete]));
  };
  const shares = async (): Promise<Share[]> => JSON.parse(await ok('cache', 'share', '--json')) as Share[];
  return { stage, network, cluster, dfget, ok, held, shares };
}

t.test('aria2 and transmission each download from us and seed to us', { skip }, async (t) => {
  const { held, network, ok, shares, stage } = await createGround('bittorrent', 5);
  t.teardown(() => stage[Symbol.asyncDispose]());
  const image = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
  await ok('pull', image);
  const layer = stage.image.layers[0]?.digest ?? '';

  const places = network.nodes.map(({ namespace }) => namespace);

  // From us: a blob by its torrent, and the image's archive by its link.
  const torrent = join(stage.folder, 'layer.torrent');
  t.match(await ok('cache', 'share', '-o', torrent, layer), /^magnet:\?xt=urn:btih:[0-9a-f]{40}&/m);
  const archived = await ok('cache', 'share', '--json', '-o', join(stage.folder, 'image.torrent'), image);
  const archive = JSON.parse(archived) as Share & { readonly warning: string };
  t.match(archive.warning, /Whoever has this torrent file or link can read all .* the registry is not asked/);
  const pulled = join(stage.folder, 'pulled.tar');
  await ok('pull', '-o', pulled, image);
  t.equal(archive.digest, digestOf(await readFile(pulled)), 'the archive of dfget pull -o, byte for byte');

  const fromUs = async (client: (typeof CLIENTS)[number]): Promise<void> => {
    const folder = await stage.makeFolder(`from-us-${client.name}`);
    await client.download(torrent, folder, { inside: places.pop() });
    t.equal(
      digestOf(await readFile(join(folder, layer.replace(':', '-')))),
      layer,
      `${client.name}: the layer`,
    );
  };
  const byLink = async (): Promise<void> => {
    const folder = await stage.makeFolder('by-link');
    await aria2.download(archive.magnet, folder, { inside: places.pop() });
    t.equal(
      digestOf(await readFile(join(folder, archive.name))),
      archive.digest,
      'aria2: the image, by its link',
    );
  };

  // To us: a torrent that the client has made, on a tracker that is not ours.
  const tracker = new Tracker({ udp: false, ws: false, stats: false });
  await new Promise<void>((resolve) => tracker.listen(0, network.host, resolve));
  t.teardown(() => tracker.close());
  const { port } = tracker.http?.address() as AddressInfo;
  const toUs = async (client: (typeof CLIENTS)[number]): Promise<void> => {
    const folder = await stage.makeFolder(`to-us-${client.name}`);
    const file = join(folder, 'file.bin');
    const bytes = randomBytes(9 * MIB + 12_345);
    await writeFile(file, bytes);
    const made = join(stage.folder, `${client.name}.torrent`);
    const url = `http://${network.host}:${port}/announce`;
    // One of them private.
    const flags = client === aria2 ? [] : ['--private'];
    const created = await run('transmission-create', [...flags, '--tracker', url, '--outfile', made, file]);
    t.equal(created.code, 0, created.output);
    const seeding = await client.seed(made, folder, { inside: places.pop() });
    try {
      const output = join(stage.folder, `${client.name}.out`);
      t.match(await ok('cache', 'fetch', '-o', output, made), digestOf(bytes));
      t.equal(digestOf(await readFile(output)), digestOf(bytes), `${client.name}: the file`);
      t.equal((await held()).get(digestOf(bytes)), true, `${client.name}: in the store`);
    } finally {
      await seeding.stop();
    }
  };
  await Promise.all([...CLIENTS.map(fromUs), byLink(), ...CLIENTS.map(toUs)]);
  const sent = await shares();
  t.equal(sent.length, 2);
  for (const { announced, problem, sentBytes, size } of sent) {
    t.same([announced, problem], [true, null]);
    t.ok(sentBytes >= size, `${sentBytes} bytes sent of ${size}`);
  }
});

const names = (shares: readonly Share[]): string[] =>
  shares.map(({ announce, infoHash }) => `${infoHash} ${announce.join()}`).sort();

t.test('with identities: passkeys, a restart, and the end of sharing', { skip }, async (t) => {
  const { cluster, dfget, held, ok, shares, stage } = await createGround('bt-secure', 0, { secure: true });
  t.teardown(() => stage[Symbol.asyncDispose]());
  const image = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
  await ok('pull', image);
  const [layer = '', other = ''] = stage.image.layers.map(({ digest }) => digest);
  const ca = join(stage.folder, 'ca', 'ca.crt');
  const [torrent, second] = [join(stage.folder, 'layer.torrent'), join(stage.folder, 'second.torrent')];

  const early = await dfget('cache', 'share', '-o', torrent, `sha256:${'0'.repeat(64)}`);
  t.match(early.output, /BLOB_UNKNOWN/);
  const passkey = (
    await run(DAMSELFLY, ['token', 'create', '--bittorrent', '--ca-dir', join(stage.folder, 'ca')])
  ).stdout.trim();
  await ok('cache', 'share', '-o', torrent, layer.slice(0, 20));
  await ok('cache', 'share', '-o', second, '--passkey', passkey, other);
  t.match((await readFile(second)).toString('latin1'), `/announce/${passkey}`);
  const before = names(await shares());
  t.match((await dfget('cache', 'rm', layer)).output, /is shared with BitTorrent clients/);

  // Sharing goes on after a kill, with nothing hashed and nothing made anew.
  await cluster.daemons[0]?.kill('SIGKILL');
  await cluster.restartDaemon(0);
  t.same(names(await shares()), before);

  // By another site's dfget, and by aria2: the tracker's certificate is of the cluster's own authority.
  const elsewhere = join(stage.folder, 'elsewhere');
  await mkdir(elsewhere);
  const fetched = join(elsewhere, 'layer');
  t.match(
    await ok('cache', 'fetch', '--ca', ca, '-o', fetched, '--digest', layer, torrent),
    'was in the store',
  );
  t.equal(digestOf(await readFile(fetched)), layer);
  const wrong = await dfget('cache', 'fetch', '--ca', ca, '--digest', `sha256:${'1'.repeat(64)}`, second);
  t.match(wrong.output, /DIGEST_MISMATCH/);
  const untrusted = await dfget('cache', 'fetch', '--idle', '3s', '-o', join(elsewhere, 'none'), second);
  t.match(untrusted.output, /UPSTREAM_UNREACHABLE.*nothing came for 3 s/, 'without --ca');
  t.same(await readdir(elsewhere), ['layer'], 'nothing is left behind');
  const folder = await stage.makeFolder('by-passkey');
  await aria2.download(second, folder, { trustsAnyTracker: true });
  t.equal(
    digestOf(await readFile(join(folder, other.replace(':', '-')))),
    other,
    'by a passkey of the authority',
  );

  await ok('cache', 'unshare', layer);
  t.equal((await shares()).length, 1);
  const gone = await dfget('cache', 'fetch', '--ca', ca, '--idle', '3s', torrent);
  t.match(gone.output, /nothing came for 3 s: not shared here/);
  t.match(await ok('cache', 'rm', layer), /removed/);
  t.equal((await held()).has(layer), false);
  t.equal((await dfget('cache', 'unshare', layer)).code, 1);
});
