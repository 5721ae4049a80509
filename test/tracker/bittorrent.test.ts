import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import Client from 'bittorrent-tracker/client';
import t, { type Test } from 'tap';
import { parseNetworks } from '../../lib/config/networks.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { ANNOUNCE_INTERVAL_MS, BittorrentSwarms } from '../../tracker/bittorrent-swarms.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { putShares } from './put-shares.ts';

const anyPort = { host: '127.0.0.1', port: 0 };
const INFO_HASH = 'a1f0'.repeat(10);
const PASSKEY = 'a-passkey-of-the-share';
const PEER_ID = '2d5452333030302d'.padEnd(40, '0');

/** A tracker that knows of one shared torrent. */
async function start(t: Test) {
  const deps = { log: silentLog(), clock: createSystemClock(), rng: createRng(3) };
  const tracker = await createTracker(deps, {
    listen: anyPort,
    httpListen: anyPort,
    btUdp: parseNetworks('127.0.0.1'),
    processMetrics: false,
  });
  t.teardown(() => tracker.close());
  const http = `http://127.0.0.1:${tracker.httpAddress.port}`;
  const shared = await putShares(http, [{ infoHash: INFO_HASH, passkey: PASSKEY }]);
  if (shared !== 204) throw new Error(`the share was refused: ${shared}`);
  const client = (transport: 'http' | 'udp', port: number, peerId = PEER_ID): Client => {
    const url = transport === 'http' ? http : `udp://127.0.0.1:${tracker.udpAddress?.port}`;
    const made = new Client({ infoHash: INFO_HASH, peerId, announce: [`${url}/announce/${PASSKEY}`], port });
    made.on('error', (error: Error) => t.fail(error));
    made.on('warning', (error: Error) => t.fail(error));
    t.teardown(() => made.destroy());
    return made;
  };
  /** Raw announce; the answer as bytes read as latin1. */
  const get = async (query: string, path = `/announce/${PASSKEY}`): Promise<string> =>
    Buffer.from(await (await fetch(`${http}${path}?${query}`)).arrayBuffer()).toString('latin1');
  const announce = (change: Record<string, string> = {}): Promise<string> => {
    const query = {
      info_hash: percent(INFO_HASH),
      peer_id: percent(PEER_ID),
      port: '6001',
      left: '1',
      compact: '1',
      ...change,
    };
    return get(
      Object.entries(query)
        .map((pair) => pair.join('='))
        .join('&'),
    );
  };
  return { tracker, client, get, announce, http };
}

const percent = (hex: string): string => hex.replace(/../g, '%$&');

/** Starts and returns the address of every peer in the answer. */
async function started(client: Client, left: number): Promise<string[]> {
  const peers: string[] = [];
  client.on('peer', (address: string) => peers.push(address));
  client.start({ left });
  await once(client, 'update');
  // The client tells of the answer first and of the peers in it right after.
  await new Promise((resolve) => setImmediate(resolve));
  return peers;
}

for (const transport of ['http', 'udp'] as const) {
  t.test(`a standard client over ${transport} finds the others, scrapes and leaves`, async (t) => {
    const { client, get } = await start(t);
    t.same(await started(client(transport, 6001), 0), [], 'alone at first');
    const second = client(transport, 6002);
    t.same(await started(second, 10), ['127.0.0.1:6001']);
    const third = client(transport, 6003);
    t.same((await started(third, 10)).sort(), ['127.0.0.1:6001', '127.0.0.1:6002']);
    const scrape = async (): Promise<unknown> => {
      if (transport === 'http') {
        // By the convention of BEP 48 clients do not scrape where the announce URL ends in a passkey.
        const text = await get(`info_hash=${percent(INFO_HASH)}`, `/scrape/${PASSKEY}`);
        const [, complete, incomplete] = /completei(\d+)e.*incompletei(\d+)e/.exec(text) ?? [];
        return { complete: Number(complete), incomplete: Number(incomplete) };
      }
      third.scrape();
      const [{ complete, incomplete }] = (await once(third, 'scrape')) as [
        { complete: number; incomplete: number },
      ];
      return { complete, incomplete };
    };
    t.same(await scrape(), { complete: 1, incomplete: 2 });
    second.complete({ left: 0 });
    await once(second, 'update');
    t.same(await scrape(), { complete: 2, incomplete: 1 });
    second.stop({ left: 0 });
    await once(second, 'update');
    t.same(await scrape(), { complete: 1, incomplete: 1 });
  });
}

t.test('clients of both transports meet, and never a Damselfly member', async (t) => {
  const { client } = await start(t);
  await started(client('udp', 6001), 5);
  t.same(await started(client('http', 6002), 5), ['127.0.0.1:6001']);
  t.same((await started(client('udp', 6003), 5)).sort(), ['127.0.0.1:6001', '127.0.0.1:6002']);
});

t.test('answers are byte for byte what BEP 23, 3 and 48 ask for', async (t) => {
  const { announce, get } = await start(t);
  await announce({ port: '6001', left: '0' });
  const address = '\x7f\x00\x00\x01\x17\x71';
  const compact = await announce({ port: '6002' });
  t.match(compact, `5:peers6:${address}`);
  t.match(compact, `8:intervali${ANNOUNCE_INTERVAL_MS / 1000}e`);
  t.match(await announce({ port: '6003', compact: '0' }), '5:peers12:', 'the compact form in any case');
  const hash = Buffer.from(INFO_HASH, 'hex').toString('latin1');
  const scraped = await get(`info_hash=${percent(INFO_HASH)}`, `/scrape/${PASSKEY}`);
  t.ok(scraped.startsWith(`d5:filesd20:${hash}d8:completei1e10:downloadedi1e10:incompletei2ee`), scraped);
});

t.test('while nobody has all of a torrent its clients come again soon', async (t) => {
  const { announce } = await start(t);
  const interval = (answer: string): number => Number(/8:intervali(\d+)e/.exec(answer)?.[1]);
  t.equal(interval(await announce({ port: '6002' })), 15);
  t.equal(interval(await announce({ port: '6001', left: '0' })), ANNOUNCE_INTERVAL_MS / 1000, 'who has all');
  t.equal(interval(await announce({ port: '6002' })), ANNOUNCE_INTERVAL_MS / 1000, 'who can get all');
  await announce({ port: '6001', left: '0', event: 'stopped' });
  t.equal(interval(await announce({ port: '6002' })), 15, 'who can get it no more');
});

t.test('nobody gets more peers than it wants, and 82 at most', async (t) => {
  const { announce } = await start(t);
  const count = (answer: string): number => Number(/5:peers(\d+):/.exec(answer)?.[1]) / 6;
  for (let port = 7001; port <= 7120; port++) await announce({ port: `${port}` });
  t.equal(count(await announce({ numwant: '3' })), 3);
  t.equal(count(await announce({ numwant: '2.5' })), 2);
  t.equal(count(await announce({ numwant: '-7' })), 0);
  t.equal(count(await announce({ numwant: '1000000000' })), 82);
  t.equal(count(await announce({ numwant: 'Infinity' })), 82);
  t.equal(count(await announce({ numwant: 'many' })), 50);
  t.equal(count(await announce({ event: 'stopped' })), 0);
});

t.test('case 60: what is not an announce is refused and ends nothing', async (t) => {
  const { announce, get, http } = await start(t);
  const refused = /^d14:failure reason/;
  t.match(await announce({ info_hash: '%01%02' }), refused, 'a short info_hash');
  t.match(await announce({ peer_id: 'x' }), refused, 'a short peer_id');
  t.match(await announce({ port: '0' }), refused, 'port 0');
  t.match(await announce({ port: '65536' }), refused, 'port 65536');
  for (const event of ['constructor', '__proto__', 'error', 'started&event=started']) {
    t.match(await announce({ event }), refused, `event ${event}`);
  }
  t.match(await get('', `/scrape/${PASSKEY}`), refused, 'a scrape of everything');
  t.match(
    await get(`info_hash=${percent(INFO_HASH)}&info_hash=%01`, `/scrape/${PASSKEY}`),
    refused,
    'a scrape of half a hash',
  );
  t.match(await get('', '/announce'), refused, 'nothing at all');
  t.equal((await fetch(`${http}/announce/${'x'.repeat(161)}`)).status, 404);
  t.equal((await fetch(`${http}/announce/a/b`)).status, 404);
  t.equal((await fetch(`${http}/stats`)).status, 404);
  t.equal((await fetch(`${http}/announce`, { method: 'POST', body: 'x' })).status, 405);
  t.match(
    await announce({ compact: '7', ip: '10.9.9.9', type: 'ws', action: '9' }),
    '5:peers0:',
    'extra fields change nothing',
  );
});

t.test(
  'case 61: over UDP an announce counts only from the address that asked for a connection id',
  async (t) => {
    const { tracker } = await start(t);
    const port = tracker.udpAddress?.port ?? 0;
    const socket = createSocket('udp4');
    t.teardown(() => socket.close());
    const ask = async (packet: Buffer): Promise<Buffer> => {
      socket.send(packet, port, '127.0.0.1');
      return ((await once(socket, 'message')) as [Buffer])[0];
    };
    const packet = (id: Buffer, action: number, bytes: number): Buffer => {
      const made = Buffer.alloc(bytes);
      id.copy(made);
      made.writeUInt32BE(action, 8);
      made.writeUInt32BE(77, 12);
      return made;
    };
    const magic = Buffer.from('0000041727101980', 'hex');
    const announceWith = (id: Buffer, listenPort: number): Buffer => {
      const made = packet(id, 1, 98);
      Buffer.from(INFO_HASH, 'hex').copy(made, 16);
      made.fill(1, 36, 56);
      made.writeUInt32BE(2, 80);
      made.writeUInt32BE(0x08080808, 84);
      made.writeInt32BE(-1, 92);
      made.writeUInt16BE(listenPort, 96);
      return made;
    };
    // None of these gets an answer, or ends the tracker: the connect that follows does get its own.
    for (const nonsense of [
      Buffer.alloc(0),
      Buffer.alloc(15),
      packet(magic, 1, 98),
      packet(magic, 7, 16),
      packet(Buffer.alloc(8), 0, 16),
    ]) {
      socket.send(nonsense, port, '127.0.0.1');
    }
    const connected = await ask(packet(magic, 0, 16));
    t.equal(connected.length, 16);
    t.equal(connected.readUInt32BE(4), 77, 'the transaction asked for');
    const id = connected.subarray(8);
    t.notSame(id, magic);
    socket.send(packet(id, 1, 97), port, '127.0.0.1');
    socket.send(packet(id, 2, 16 + 20 * 75), port, '127.0.0.1');
    t.equal((await ask(announceWith(id, 9001))).length, 20, 'alone');
    const second = await ask(announceWith(id, 9002));
    t.same(
      [...second.subarray(20)],
      [127, 0, 0, 1, 9001 >> 8, 9001 & 255],
      'the address it came from, not the one it named',
    );
  },
);

t.test('swarms forget who does not come back, and hold no more peers than they may', async (t) => {
  const clock = new FakeClock();
  const swarms = new BittorrentSwarms({ clock, rng: createRng(1) }, { maxPeers: 3 });
  const join = (port: number, infoHash = INFO_HASH) =>
    swarms.announce({
      infoHash,
      peer: { peerId: PEER_ID, ip: '10.0.0.1', port },
      event: 'started',
      complete: false,
      numwant: 50,
    });
  const pass = (ms: number): void => {
    clock.after(ms, () => {});
    clock.advanceToNext();
  };
  t.equal(join(1)?.peers.length, 0);
  t.equal(join(2)?.peers.length, 1);
  t.equal(join(3, 'b'.repeat(40))?.peers.length, 0);
  t.equal(join(4), undefined, 'full');
  t.equal(join(2)?.peers.length, 1, 'who is known may always come back');
  pass(200_000);
  join(2);
  pass(200_000);
  t.same(
    join(5)?.peers.map(({ port }) => port),
    [2],
    'the others are forgotten',
  );
  t.same([swarms.peers, swarms.swarms], [2, 1]);
  pass(400_000);
  t.same(join(6)?.peers, []);
});
