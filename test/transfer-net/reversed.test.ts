import { createPublicKey } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import {
  createHttpPeerNetwork,
  type HttpPeerNetworkOptions,
} from '../../lib/transfer/http/http-peer-network.ts';
import { createMemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import type {
  Address,
  Link,
  PeerListener,
  PeerNetwork,
  PeerServerHandlers,
  ReverseWay,
} from '../../lib/transfer/seams.ts';
import { MEDIUM_PEER, mediums } from '../contract/medium.ts';
import { type PeerNetworkFixture, peerNetworkContract } from '../contract/peer-network.ts';
import { NEVER, patternBytes, servedBlob, within } from '../contract/peer-network-parts.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const clock = createSystemClock();
const deps = { clock, log: silentLog() };
const LOCAL = { host: '127.0.0.1', port: 0 };
const NO_PIECES: PeerServerHandlers = {
  link: (link) => link.close('not expected'),
  piece: () => ({ kind: 'unknown' }),
};
const ID = 'b'.repeat(40);
/** Nothing listens there. */
const NOBODY = { host: '127.0.0.1', port: 1 };

/** The same client, but whatever it fetches it must have the server connect for: nothing listens at the address. */
function undialled(client: PeerNetwork, connectBack: () => Promise<void>): PeerNetwork {
  const reverse = { peer: MEDIUM_PEER, ask: () => void connectBack().catch(() => {}) };
  return {
    ...client,
    fetch: (request, into, options) =>
      client.fetch({ ...request, address: NOBODY }, into, { ...options, reverse }),
  };
}

/** A port that leads to another one, and can stop reading what goes there. */
async function relay(t: Test, { host, port }: Address) {
  const sockets = new Set<Socket>();
  const nears = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, host);
    nears.add(near);
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}));
    near.pipe(far).pipe(near);
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const freeze = (frozen: boolean): void => {
    for (const near of nears) {
      if (frozen) near.pause();
      else near.resume();
    }
  };
  return { address: { ...LOCAL, port: (server.address() as AddressInfo).port }, freeze };
}

for (const medium of await mediums()) {
  await t.test(`over connections that the server opens, ${medium.name}`, async (t) => {
    const create = (t: Test): PeerNetworkFixture => {
      const client = createHttpPeerNetwork(deps, medium.network);
      const server = createHttpPeerNetwork(deps, medium.network);
      const ready = client.listen(LOCAL, NO_PIECES);
      // Only where it is to freeze: a relay takes what nobody reads.
      const relayed = /nobody takes/.test(t.name)
        ? ready.then(({ address }) => relay(t, address))
        : undefined;
      t.teardown(async () => {
        await Promise.all([client.close(), server.close()]);
        await (await ready).close();
      });
      const connectBack = async (): Promise<void> => {
        const { address } = (await relayed) ?? (await ready);
        const to = { address, peer: MEDIUM_PEER, from: MEDIUM_PEER };
        await server.connectBack(to, { signal: NEVER });
      };
      return {
        client: undialled(client, connectBack),
        ...{ server, listenOn: LOCAL },
        freezeClient: (frozen) => void relayed?.then(({ freeze }) => freeze(frozen)),
      };
    };
    await peerNetworkContract(t, create);
  });
}

await t.test('in memory, to a host that cannot be dialled', async (t) => {
  const create = (t: Test): PeerNetworkFixture => {
    const network = createMemoryNetwork({ clock, rng: createRng(1) });
    const [client, server] = [network.host('a'), network.host('b', { upBytesPerSecond: 1e8 })];
    const ready = client.listen({ host: 'a', port: 7 }, NO_PIECES);
    t.teardown(async () => (await ready).close());
    const freezeClient = (frozen: boolean): void => {
      if (frozen) network.partition('a', 'b');
      else network.heal('a', 'b');
    };
    const to = { address: { host: 'a', port: 7 }, peer: MEDIUM_PEER, from: MEDIUM_PEER };
    const reverse = {
      peer: MEDIUM_PEER,
      ask: () => void server.connectBack(to, { signal: NEVER }).catch(() => {}),
    };
    return {
      // What is not fetched reaches it: the contract's links are dialled.
      client: {
        ...client,
        fetch(request, into, options) {
          network.refuseDials('b', true);
          const fetched = client.fetch(request, into, { ...options, reverse });
          network.refuseDials('b', false);
          return fetched;
        },
      },
      ...{ server, listenOn: { host: 'b', port: 0 }, freezeClient },
    };
  };
  await peerNetworkContract(t, create);
});

/** For who waits in vain. */
const hastily: Clock['after'] = (ms, callback) => clock.after(ms / 8, callback);
const HASTY: Clock = { now: () => clock.now(), after: hastily };

/** A server with a blob, and a client that listens too and fetches it. */
async function pair(
  t: Test,
  near: HttpPeerNetworkOptions = {},
  far: HttpPeerNetworkOptions = {},
  clientClock = clock,
  link: (link: Link) => void = (link) => link.close('not expected'),
) {
  const blob = patternBytes(100_000);
  const client = createHttpPeerNetwork({ ...deps, clock: clientClock }, near);
  const server = createHttpPeerNetwork(deps, far);
  const opened: { close(): Promise<void> }[] = [client, server];
  t.teardown(() => Promise.all(opened.map((each) => each.close())));
  const listen = async (network: PeerNetwork, handlers: PeerServerHandlers): Promise<PeerListener> => {
    const listener = await network.listen(LOCAL, handlers);
    opened.push(listener);
    return listener;
  };
  const serve = () => listen(server, { ...NO_PIECES, piece: () => servedBlob(blob) });
  const listeners = [await listen(client, { ...NO_PIECES, link }), await serve()] as const;
  const piece = { digest: digestOf(blob), range: { start: 0, end: blob.length } };
  const wanted = async (address: Address, reverse: ReverseWay, from = MEDIUM_PEER): Promise<void> => {
    const into = new Uint8Array(blob.length);
    await client.fetch({ address, from, ...piece }, into, { signal: NEVER, reverse });
    t.same(Buffer.compare(into, blob), 0);
  };
  const back = (): Promise<void> => {
    const to = { address: listeners[0].address, peer: MEDIUM_PEER, from: ID };
    return server.connectBack(to, { signal: NEVER });
  };
  return { client, server, near: listeners[0], far: listeners[1], serve, wanted, back };
}

t.test('a connection that nobody asked for is refused', async (t) => {
  const { back, wanted } = await pair(t, {}, {}, HASTY);
  await t.rejects(back(), { code: 'PEER_UNREACHABLE', message: /404/ });
  const refused = Promise.withResolvers<unknown>();
  const ask = (): void => void back().catch(refused.resolve);
  await t.rejects(within(wanted(NOBODY, { peer: 'c'.repeat(40), ask }), 'fetch'), {
    code: 'PEER_UNREACHABLE',
  });
  t.match(await refused.promise, { message: /404/ }, 'nor one of another than who was asked');
});

t.test('a peer that can be dialled is not asked', async (t) => {
  const { far, wanted } = await pair(t);
  let asked = 0;
  for (let i = 0; i < 3; i++) {
    await within(wanted(far.address, { peer: ID, ask: () => void asked++ }), 'fetch');
  }
  t.equal(asked, 0);
});

t.test('one connection carries many pieces, for as long as it lives', async (t) => {
  const { back, far, wanted } = await pair(t, {}, {}, HASTY);
  let asked = 0;
  const ask = (): void => {
    asked++;
    void back();
  };
  for (let i = 0; i < 5; i++) await within(wanted(NOBODY, { peer: ID, ask }), 'fetch');
  t.equal(asked, 1);
  const reverse = { peer: ID, ask: () => void asked++ };
  await within(far.close(), 'close');
  await t.rejects(within(wanted(NOBODY, reverse), 'fetch'), { code: 'PEER_UNREACHABLE' });
  t.equal(asked, 2, 'and then it is asked for another one');
});

t.test('the end of it all ends the waiting for connections', async (t) => {
  const endless: Clock = { now: () => clock.now(), after: () => () => {} };
  const { client, wanted } = await pair(t, {}, {}, endless);
  const asked = Promise.withResolvers<void>();
  const fetched = wanted(NOBODY, { peer: ID, ask: asked.resolve });
  await within(asked.promise, 'asking');
  await client.close();
  await t.rejects(within(fetched, 'fetch'), { code: 'PEER_UNREACHABLE' });
});

t.test('with identities both ends are who they should be', async (t) => {
  const authority = await testAuthority();
  const [one, two] = [await testMember(authority, 'node'), await testMember(authority, 'node')];
  const [a, b] = [steadyCredentials(one.tls), steadyCredentials(two.tls)];
  const { near, server, wanted } = await pair(t, { credentials: a }, { credentials: b }, HASTY);
  /** Fetches from a peer, which connects back in some name. @returns how both ended */
  const tried = async (reverse: Omit<ReverseWay, 'ask'>, from: string, to: string, address = NOBODY) => {
    const back = Promise.withResolvers<unknown>();
    const ask = (): void => {
      const place = { address: near.address, peer: to, from };
      back.resolve(server.connectBack(place, { signal: NEVER }).catch((error: unknown) => error));
    };
    const fetched = wanted(address, { ...reverse, ask }, a.id).catch((error: unknown) => error);
    return await within(Promise.all([fetched, back.promise]), 'both');
  };
  const unreachable = { code: 'PEER_UNREACHABLE' };
  const refused = { ...unreachable, message: /404/ };
  t.match(await tried({ peer: ID }, ID, a.id), [unreachable, refused], 'in the name of another');
  const mistaken = await tried({ peer: b.id }, b.id, ID);
  t.match(mistaken, [unreachable, { code: 'PEER_UNTRUSTED' }], 'to another than who has asked');
});

t.test('a peer that has renewed its certificate since its link began need not link anew first', async (t) => {
  const authority = await testAuthority();
  const [one, two] = [await testMember(authority, 'node'), await testMember(authority, 'node')];
  const { identity, tls } = two;
  const publicKey = createPublicKey(tls.key);
  const b = new Credentials({ ...deps, wallClockMs: () => Date.now() }, tls, async (now) => ({
    ...now,
    cert: await authority.issue({ identity, publicKey, nowMs: Date.now() }),
  }));
  t.teardown(() => b.close());
  const a = steadyCredentials(one.tls);
  const shown: (string | undefined)[] = [];
  const link = (linked: Link): void => void shown.push(linked.member?.fingerprint);
  const { near, server, wanted } = await pair(t, { credentials: a }, { credentials: b }, clock, link);
  await server.dial(near.address, { signal: NEVER });
  await b.look();
  const back = { address: near.address, peer: a.id, from: b.id };
  const ask = (): void => void server.connectBack(back, { signal: NEVER });
  await within(wanted(NOBODY, { peer: b.id, ask }, a.id), 'fetch');
  await server.dial(near.address, { signal: NEVER });
  t.not(shown[0], shown[1], 'it has another certificate');
});

t.test('behind an address of several machines may be another one: it is asked too', async (t) => {
  const authority = await testAuthority();
  const [one, two] = [await testMember(authority, 'node'), await testMember(authority, 'node')];
  const [a, b] = [steadyCredentials(one.tls), steadyCredentials(two.tls)];
  const { near, server, wanted } = await pair(t, { credentials: a }, { credentials: b });
  const ask = (): void => {
    const back = { address: near.address, peer: a.id, from: b.id };
    void server.connectBack(back, { signal: NEVER });
  };
  // At its own port the client meets itself.
  await within(wanted(near.address, { peer: b.id, ask }, a.id), 'fetch');
});

t.test('who could not be dialled is dialled again half a minute later', async (t) => {
  let laterMs = 0;
  const moved: Clock = { now: () => clock.now() + laterMs, after: hastily };
  const { back, far, serve, wanted } = await pair(t, {}, {}, moved);
  await within(wanted(NOBODY, { peer: ID, ask: () => void back() }), 'fetch');
  await within(far.close(), 'close');
  const { address } = await serve();
  let asked = 0;
  const reverse = { peer: ID, ask: () => void asked++ };
  await t.rejects(within(wanted(address, reverse), 'fetch'), { code: 'PEER_UNREACHABLE' });
  t.equal(asked, 1, 'it is asked at once');
  laterMs = 31_000;
  await within(wanted(address, reverse), 'fetch');
  t.equal(asked, 2, 'and when it is dialled too, whoever is first');
});
