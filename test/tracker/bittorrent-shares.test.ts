import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { request } from 'node:https';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { parseNetworks } from '../../lib/config/networks.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createAnnouncePasskey, readAnnouncePasskey } from '../../lib/security/announce-passkey.ts';
import { signRevocationList } from '../../lib/security/revocation-list.ts';
import { MAX_SHARES } from '../../lib/wire/bittorrent-messages.ts';
import { BittorrentShares } from '../../tracker/bittorrent-shares.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { anyPort, systemClock } from './control-rig.ts';
import { startSecureTracker } from './identity-rig.ts';
import { OWNER, put, putShares } from './put-shares.ts';

const A = 'a1'.repeat(20);
const B = 'b2'.repeat(20);
const PASSKEY = 'passkey-of-the-share';
const REFUSED = /^d14:failure reason\d+:not shared here/;
const NOBODY = /5:peers0:/;

const percent = (hex: string): string => hex.replace(/../g, '%$&');

/** Announces and scrapes by hand. */
function client(base: string) {
  const get = (path: string, query: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const url = `${base}${path}?${query}`;
      const read = async (body: AsyncIterable<Uint8Array>): Promise<void> => {
        resolve((await buffer(body as never)).toString('latin1'));
      };
      if (!base.startsWith('https:')) {
        return void fetch(url).then(async (answer) => read(answer.body as never), reject);
      }
      request(url, { rejectUnauthorized: false, agent: false }, (response) => void read(response))
        .once('error', reject)
        .end();
    });
  const announce = (infoHash: string, passkey: string, port = 6001): Promise<string> =>
    get(
      passkey === '' ? '/announce' : `/announce/${passkey}`,
      `info_hash=${percent(infoHash)}&peer_id=${percent('2d'.repeat(20))}&port=${port}&left=0&compact=1`,
    );
  const scrape = (passkey: string, ...infoHashes: string[]): Promise<string> =>
    get(`/scrape/${passkey}`, infoHashes.map((infoHash) => `info_hash=${percent(infoHash)}`).join('&'));
  return { announce, scrape };
}

t.test('a torrent is announced and scraped with its passkey, while it is shared', async (t) => {
  const tracker = await createTracker(
    { log: silentLog(), clock: systemClock, rng: createRng(1) },
    { listen: anyPort, httpListen: anyPort, processMetrics: false },
  );
  t.teardown(() => tracker.close());
  t.equal(tracker.udpAddress, undefined, 'no UDP without --bt-udp');
  const base = `http://127.0.0.1:${tracker.httpAddress.port}`;
  const { announce, scrape } = client(base);
  t.match(await announce(A, PASSKEY), REFUSED, 'nothing is shared yet');
  t.match(await scrape(PASSKEY, A), REFUSED);
  t.equal(await putShares(base, [{ infoHash: A, passkey: PASSKEY }]), 204);
  t.match(await announce(A, PASSKEY), NOBODY);
  t.match(await scrape(PASSKEY, A), /8:completei1e/);
  for (const [why, infoHash, passkey] of [
    ['no passkey', A, ''],
    ['another passkey', A, 'passkey-of-the-sharf'],
    ['its beginning', A, 'passkey-of-the-shar'],
    ['another torrent', B, PASSKEY],
    ['a token of nobody', A, 'dfannounce1_AAAAAAAAAAAAAAAAAAA.AAAA'],
  ] as const) {
    t.match(await announce(infoHash, passkey), REFUSED, why);
  }
  t.match(await scrape('passkey-of-the-sharf', A), REFUSED);
  const both = await scrape(PASSKEY, A, B);
  t.match(both, /^d5:filesd20:/);
  t.equal(both.split('8:complete').length, 2, 'only what the passkey is for');

  t.equal(await putShares(base, [{ infoHash: B, passkey: 'other' }], { owner: 'cd'.repeat(20) }), 204);
  t.match(await announce(A, PASSKEY, 6002), /5:peers6:/, 'what others share changes nothing');
  t.equal(await putShares(base, []), 204);
  t.match(await announce(A, PASSKEY), REFUSED, 'unshared');
  t.equal(await putShares(base, [{ infoHash: A, passkey: PASSKEY }]), 204);
  t.match(await announce(A, PASSKEY, 6003), NOBODY, 'and its clients are forgotten');

  for (const wrong of [
    '',
    '{}',
    '[]',
    JSON.stringify({ owner: 'x', shares: [] }),
    JSON.stringify({ owner: OWNER, shares: [{ infoHash: 'x', passkeyHash: 'y' }] }),
    JSON.stringify({
      owner: OWNER,
      shares: Array.from({ length: MAX_SHARES + 1 }, (_, n) => ({
        infoHash: n.toString(16).padStart(40, '0'),
        passkeyHash: '0'.repeat(64),
      })),
    }),
    'x'.repeat(300_000),
  ]) {
    t.equal(await put(base, wrong), 400, wrong.slice(0, 40));
  }
});

t.test('where identities count only nodes share, each for itself', async (t) => {
  const { authority, enroll: base, open, token } = await startSecureTracker(t);
  const node = await open({ joinToken: token() });
  const supernode = await open({ joinToken: token('supernode'), role: 'supernode', name: 'supernode' });
  const stranger = await testMember(await testAuthority(), 'node');
  const tracker = await testMember(authority, 'tracker');
  const shares = [{ infoHash: A, passkey: PASSKEY }];
  const as = (tls: object, owner: string): Promise<number | undefined> =>
    putShares(base, shares, { ...tls, owner, rejectUnauthorized: false });
  t.equal(await as({}, node.id), 403, 'no certificate');
  t.equal(await as(stranger.tls, node.id), 403, 'of another cluster');
  t.equal(await as(tracker.tls, node.id), 403, 'a tracker shares nothing');
  t.equal(await as(supernode.keys, node.id), 403, 'for somebody else');
  const { announce } = client(base);
  t.match(await announce(A, PASSKEY), REFUSED, 'none of them shared it');
  t.equal(await as(node.keys, node.id), 204);
  t.match(await announce(A, PASSKEY), NOBODY);
});

t.test('a passkey of the authority is for all that is shared, until it expires or is revoked', async (t) => {
  const { authority, credentials, enroll: base, open, token } = await startSecureTracker(t);
  const node = await open({ joinToken: token() });
  const { announce, scrape } = client(base);
  const passkey = createAnnouncePasskey(authority, Date.now() + 60_000);
  t.match(passkey, /^[\w.-]{16,160}$/, 'fits into the path of a URL');
  t.match(await announce(A, passkey), REFUSED, 'only what is shared');
  const tls = { ...node.keys, owner: node.id, rejectUnauthorized: false };
  await putShares(base, [{ infoHash: A, passkey: PASSKEY }], tls);
  t.match(await announce(A, passkey), NOBODY);
  t.match(await scrape(passkey, A), /8:completei1e/);
  t.match(await announce(A, createAnnouncePasskey(authority, Date.now() - 31_000)), REFUSED, 'expired');
  const foreign = createAnnouncePasskey(await testAuthority(), Date.now() + 60_000);
  t.match(await announce(A, foreign), REFUSED, 'of another authority');
  t.match(await announce(A, `${passkey.slice(0, -4)}AAAA`), REFUSED, 'forged');
  t.match(await announce(A, token()), REFUSED, 'a join token is none');
  const revoked = { number: 1, serials: [readAnnouncePasskey(passkey).id], members: [] };
  credentials.trust({ revocations: signRevocationList(revoked, authority.key) });
  t.match(await announce(A, passkey), REFUSED, 'revoked');
  t.match(await announce(A, PASSKEY), NOBODY, 'that of the share counts all the while');
  t.throws(() => readAnnouncePasskey(token()), { code: 'CONFIG_INVALID' });
});

t.test('over UDP only what is shared, and only from the networks of --bt-udp', async (t) => {
  const started = async (networks: string) => {
    const tracker = await createTracker(
      { log: silentLog(), clock: systemClock, rng: createRng(1) },
      { listen: anyPort, httpListen: anyPort, btUdp: parseNetworks(networks), processMetrics: false },
    );
    t.teardown(() => tracker.close());
    const socket = createSocket('udp4');
    t.teardown(() => socket.close());
    const send = (packet: Buffer): void => socket.send(packet, tracker.udpAddress?.port ?? 0, '127.0.0.1');
    const base = `http://127.0.0.1:${tracker.httpAddress.port}`;
    return { base, send, socket, tracker };
  };
  const packet = (id: Buffer, action: number, bytes: number, infoHash = ''): Buffer => {
    const made = Buffer.alloc(bytes);
    id.copy(made);
    made.writeUInt32BE(action, 8);
    Buffer.from(infoHash, 'hex').copy(made, 16);
    if (action === 1) made.fill(1, 36, 56).writeUInt16BE(9001, 96);
    return made;
  };
  const magic = Buffer.from('0000041727101980', 'hex');
  const inside = await started('192.0.2.0/24,127.0.0.0/8');
  const ask = async (sent: Buffer): Promise<Buffer> => {
    inside.send(sent);
    return ((await once(inside.socket, 'message')) as [Buffer])[0];
  };
  const id = (await ask(packet(magic, 0, 16))).subarray(8);
  t.equal((await ask(packet(id, 1, 98, A))).readUInt32BE(0), 3, 'an error: it is not shared');
  await putShares(inside.base, [{ infoHash: A, passkey: PASSKEY }]);
  t.equal((await ask(packet(id, 1, 98, A))).readUInt32BE(0), 1);
  t.equal(
    (await ask(packet(id, 2, 36, B))).readUInt32BE(8),
    0,
    'a scrape of what is not shared finds nobody',
  );

  const outside = await started('192.0.2.0/24');
  outside.socket.on('message', () => t.fail('answered from outside its networks'));
  outside.send(packet(magic, 0, 16));
  // What came in before these was looked at before them.
  for (let n = 0; n < 3; n++) await fetch(`${outside.base}/scrape`);
  const metrics = await fetch(`http://127.0.0.1:${outside.tracker.controlAddress.port}/metrics`);
  t.match(await metrics.text(), /damselfly_tracker_refused_total\{reason="bittorrent"\} [1-9]/);
});

t.test('shares end with their node, some time after it was last heard of, and are bounded', (t) => {
  const clock = new FakeClock();
  const ended: string[] = [];
  const shares = new BittorrentShares(
    { clock, ended: (infoHash) => void ended.push(infoHash) },
    { maxTorrents: 2 },
  );
  const share = (infoHash: string) => ({ infoHash, passkeyHash: '0'.repeat(64) });
  const pass = (ms: number): void => {
    clock.after(ms, () => {});
    clock.advanceToNext();
  };
  t.ok(shares.put('one', [share(A)]));
  t.ok(shares.put('two', [share(A), share(B)]));
  t.notOk(shares.put('three', [share('c3'.repeat(20))]), 'full');
  t.ok(shares.put('three', [share(A)]), 'what is known takes no more room');
  pass(500_000);
  t.ok(shares.put('two', [share(A), share(B)]));
  pass(200_000);
  shares.expire();
  t.same([shares.has(A), shares.has(B), ended], [true, true, []], 'another node shares it too');
  t.ok(shares.put('two', [share(A)]));
  t.same([shares.has(B), ended], [false, [B]]);
  pass(700_000);
  shares.expire();
  t.same([shares.size, ended], [0, [B, A]]);
  t.end();
});
