import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createMemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import type { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { Neighbours } from '../../lib/transfer/peers/neighbours.ts';
import type { PeerMessage } from '../../lib/wire/peer-messages.ts';

const PORT = 1;

interface Side {
  readonly peer: PeerInfo;
  readonly neighbours: Neighbours;
  readonly ups: Neighbour[];
  readonly downs: Neighbour[];
  readonly heard: PeerMessage[];
  /** Ids of those that it has told that it could not dial. */
  readonly unreached: string[];
  /** Ids of those of them that it has told that it could dial after all. */
  readonly reached: string[];
  /** Hosts that it has connected to because they asked for it. */
  readonly backs: string[];
}

function setup() {
  const clock = new FakeClock();
  const network = createMemoryNetwork({ clock, rng: createRng(1) }, { latencyMs: 5 });

  const side = async (name: string, protocol = 1, certain = false, claims = name): Promise<Side> => {
    const peer: PeerInfo = {
      id: name.repeat(40).slice(0, 40),
      role: 'node',
      host: claims,
      port: PORT,
      zone: '',
    };
    const backs: string[] = [];
    const member = { ...peer, fingerprint: name.repeat(64).slice(0, 64) };
    const own = network.host(name, certain ? { member } : {});
    const unreached: string[] = [];
    const reached: string[] = [];
    const ups: Neighbour[] = [];
    const downs: Neighbour[] = [];
    const heard: PeerMessage[] = [];
    const neighbours = new Neighbours(
      {
        dialer: {
          ...own,
          connectBack(to, options) {
            backs.push(to.address.host);
            return own.connectBack(to, options);
          },
        },
        clock,
        log: silentLog(),
        metrics: createMetrics({ defaults: false }),
        discovery: {
          unreached: ({ id }) => void unreached.push(id),
          reached: ({ id }) => void reached.push(id),
        },
        hello: () => ({ type: 'hello', protocol, peer, clusterTimeMs: 0, slots: { up: 4, down: 4 } }),
      },
      {
        up: (neighbour) => void ups.push(neighbour),
        down: (neighbour) => void downs.push(neighbour),
        message: (_, message) => void heard.push(message),
      },
    );
    await own.listen(
      { host: name, port: PORT },
      { link: (link) => neighbours.accept(link), piece: () => ({ kind: 'unknown' }) },
    );
    return { peer, neighbours, ups, downs, heard, unreached, reached, backs };
  };

  const run = async (ms: number): Promise<void> => {
    const until = clock.now() + ms;
    do {
      await new Promise((resolve) => setImmediate(resolve));
    } while (clock.advanceToNext(until));
  };

  return { clock, network, side, run };
}

t.test('two peers that dial each other at the same moment end with one link, and both know it', async (t) => {
  const { run, side } = setup();
  const [a, b] = [await side('a'), await side('b')];
  a.neighbours.connect(b.peer);
  b.neighbours.connect(a.peer);
  await run(200);
  t.equal(a.neighbours.all().length, 1);
  t.equal(b.neighbours.all().length, 1);
  a.neighbours.get(b.peer.id)?.send({ type: 'slots', slots: { up: 1, down: 2 }, hungry: true });
  b.neighbours.get(a.peer.id)?.send({ type: 'slots', slots: { up: 3, down: 4 }, hungry: false });
  await run(50);
  t.match(b.heard, [{ type: 'slots', slots: { up: 1, down: 2 } }], 'what a says arrives at b');
  t.match(a.heard, [{ type: 'slots', slots: { up: 3, down: 4 } }], 'and the other way round');
  t.equal(a.ups.length - a.downs.length, 1, 'every link that went up for the engine and is gone went down');
  t.equal(b.ups.length - b.downs.length, 1);
});

t.test('a second connect to a linked peer does nothing', async (t) => {
  const { run, side } = setup();
  const [a, b] = [await side('a'), await side('b')];
  a.neighbours.connect(b.peer);
  await run(100);
  a.neighbours.connect(b.peer);
  await run(100);
  t.equal(a.ups.length, 1);
  t.equal(b.ups.length, 1);
});

t.test('a peer that lost its link without us noticing replaces it by dialling again', async (t) => {
  const { network, run, side } = setup();
  const [a, b] = [await side('a'), await side('b')];
  a.neighbours.connect(b.peer);
  await run(100);
  network.crash('a');
  network.heal('a');
  const again = await side('a');
  again.neighbours.connect(b.peer);
  await run(100);
  t.equal(b.neighbours.all().length, 1);
  again.neighbours.get(b.peer.id)?.send({ type: 'close', handle: 1 });
  await run(50);
  t.match(b.heard, [{ type: 'close', handle: 1 }], 'the new link is the one that counts');
});

t.test('a banned peer is cut off and not let in again', async (t) => {
  const { run, side } = setup();
  const [a, b] = [await side('a'), await side('b')];
  a.neighbours.connect(b.peer);
  await run(100);
  a.neighbours.ban(b.peer.id, 'forged-proof');
  await run(100);
  t.equal(a.downs.length, 1);
  t.equal(b.neighbours.all().length, 0);
  b.neighbours.connect(a.peer);
  a.neighbours.connect(b.peer);
  await run(3000);
  t.equal(a.neighbours.all().length, 0);
});

t.test('a peer that is distrusted stays linked, and is known again when it comes back', async (t) => {
  const { network, run, side } = setup();
  const [a, b] = [await side('a'), await side('b')];
  a.neighbours.connect(b.peer);
  await run(100);
  t.equal(a.neighbours.hasDistrusted, false);
  t.equal(a.neighbours.distrust(b.peer.id, 'corrupt-piece'), a.neighbours.get(b.peer.id));
  t.equal(a.neighbours.get(b.peer.id)?.distrusted, true);
  t.equal(b.neighbours.get(a.peer.id)?.distrusted, false, 'the other takes from us');
  t.equal(a.downs.length, 0, 'the link stays');
  network.crash('b');
  network.heal('b');
  const again = await side('b');
  again.neighbours.connect(a.peer);
  await run(100);
  t.equal(a.neighbours.get(b.peer.id)?.distrusted, true, 'over its new link too');
  a.neighbours.ban(b.peer.id, 'forged-proof');
  await run(100);
  t.equal(a.neighbours.all().length, 0, 'who forges is not spoken to');
});

t.test('a peer that speaks another protocol, says nothing, or speaks before hello is let go', async (t) => {
  const { network, run, side } = setup();
  const [a, old] = [await side('a'), await side('b', 2)];
  a.neighbours.connect(old.peer);
  await run(100);
  t.equal(a.neighbours.all().length + old.neighbours.all().length, 0, 'another protocol');
  const closed: string[] = [];
  const dial = async (name: string, send?: Uint8Array): Promise<void> => {
    const dialling = network
      .host(name)
      .dial({ host: 'a', port: PORT }, { signal: new AbortController().signal });
    await run(50);
    const link = await dialling;
    link.listen({ message: () => {}, closed: () => void closed.push(name) });
    if (send !== undefined) link.send(send);
  };
  await dial('mute');
  await dial('rude', Uint8Array.of(3, 1, 0, 0, 0));
  await run(100);
  t.same(closed, ['rude'], 'garbage before hello ends the link at once');
  await run(6000);
  t.same(closed, ['rude', 'mute'], 'silence ends it after a while');
  t.equal(a.ups.length, 0);
});

t.test('a peer that cannot be reached is left alone for a moment', async (t) => {
  const { network, run, side } = setup();
  const a = await side('a');
  network.host('c');
  const gone: PeerInfo = { id: 'c'.repeat(40), role: 'node', host: 'c', port: PORT, zone: '' };
  a.neighbours.connect(gone);
  await run(4500);
  t.equal(a.neighbours.all().length, 0);
  const late = await side('c');
  a.neighbours.connect(gone);
  await run(100);
  t.equal(a.neighbours.all().length, 1, 'and dialled again when asked later');
  t.equal(late.ups.length, 1);
  t.same([a.unreached, a.reached], [[gone.id], [gone.id]], 'it is told both');
  late.neighbours.close();
  await run(5000);
  a.neighbours.connect((await side('d')).peer);
  await run(100);
  t.same(a.reached, [gone.id], 'of whom it was not told before nobody is told');
});

t.test('links beyond 128 over which nothing is shared are closed, the oldest first', async (t) => {
  const { run, side } = setup();
  const a = await side('a');
  const others = [];
  for (let index = 0; index < 140; index++) others.push(await side(index.toString(16).padStart(2, '0')));
  for (const { peer } of others) a.neighbours.connect(peer);
  await run(200);
  t.equal(a.neighbours.all().length, others.length);
  const first = a.neighbours.get(others[0]!.peer.id)!;
  first.openOurs(1, blobInfo(digestOf(Buffer.from('layer')), 1024 * 1024));
  t.equal(a.neighbours.closeUnused(), 0, 'all are new');
  await run(61_000);
  t.equal(a.neighbours.closeUnused(), 12);
  await run(200);
  t.equal(a.neighbours.all().length, 128);
  t.ok(a.neighbours.get(others[0]!.peer.id), 'what is of use stays');
  t.notOk(a.neighbours.get(others[1]!.peer.id));
  t.equal(a.neighbours.closeUnused(), 0);
});

t.test('another one behind the address, which is linked already, keeps its link', async (t) => {
  const { run, side } = setup();
  const [a, b, c] = [await side('a', 1, true), await side('b', 1, true), await side('c', 1, true)];
  a.neighbours.connect(c.peer);
  await run(100);
  a.neighbours.connect({ ...b.peer, host: c.peer.host });
  await run(100);
  t.same(a.unreached, [b.peer.id], 'who was meant is had to dial us');
  t.same([a.ups.length, a.downs.length, c.ups.length, c.downs.length], [1, 0, 1, 0]);
  b.neighbours.connectInTurn(a.peer);
  await run(100);
  t.ok(a.neighbours.get(b.peer.id));
});

t.test('word that a peer cannot dial us counts for nothing when it is linked', async (t) => {
  const { run, side } = setup();
  const [a, b, c] = [await side('a'), await side('b'), await side('c')];
  a.neighbours.connect(b.peer);
  await run(100);
  b.neighbours.connectInTurn(a.peer);
  a.neighbours.connectInTurn(b.peer);
  t.notOk(b.neighbours.cannotDialUs(a.peer.id), 'it has dialled us');
  t.notOk(a.neighbours.cannotDialUs(b.peer.id), 'it had no need to try');
  a.neighbours.connectInTurn(c.peer);
  await run(100);
  t.ok(a.neighbours.cannotDialUs(c.peer.id));
});

t.test('who asks to be connected to is, whatever machine it has named in its hello', async (t) => {
  const { run, side } = setup();
  const [a, b] = [await side('a', 1, false, 'elsewhere'), await side('b')];
  a.neighbours.connect(b.peer);
  await run(100);
  a.neighbours.get(b.peer.id)?.send({ type: 'reverse' });
  await run(100);
  t.same(b.backs, ['a']);
});
