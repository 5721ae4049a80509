import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { createMemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import { hostileClientSuite } from '../contract/hostile-client.ts';
import { hostileServerSuite } from '../contract/hostile-server.ts';
import { mediums } from '../contract/medium.ts';
import { type PeerNetworkFixture, peerNetworkContract } from '../contract/peer-network.ts';
import { smallBlobsContract } from '../contract/small-blobs.ts';

for (const medium of await mediums()) {
  await t.test(`over HTTP and WebSocket, ${medium.name}`, async (t) => {
    const create = (t: Test): PeerNetworkFixture => {
      const deps = { clock: createSystemClock(), log: silentLog() };
      const sockets: Socket[] = [];
      const client = createHttpPeerNetwork(deps, {
        connect(to) {
          const socket = medium.connect(to);
          sockets.push(socket);
          return socket;
        },
      });
      const server = createHttpPeerNetwork(deps, medium.network);
      t.teardown(() => Promise.all([client.close(), server.close()]));
      const freezeClient = (frozen: boolean): void => {
        for (const socket of sockets) {
          if (frozen) socket.pause();
          else socket.resume();
        }
      };
      return { client, server, listenOn: { host: '127.0.0.1', port: 0 }, freezeClient };
    };
    await peerNetworkContract(t, create);
    await smallBlobsContract(t, create);
  });
  await t.test(`clients that break the rules, ${medium.name}`, (t) => hostileClientSuite(t, medium));
  await t.test(`servers that break the rules, ${medium.name}`, (t) => hostileServerSuite(t, medium));
}

await t.test('in memory', async (t) => {
  const create = (): PeerNetworkFixture => {
    const network = createMemoryNetwork({ clock: createSystemClock(), rng: createRng(1) });
    const freezeClient = (frozen: boolean): void => {
      if (frozen) network.partition('a', 'b');
      else network.heal('a', 'b');
    };
    const [client, server] = [network.host('a'), network.host('b', { upBytesPerSecond: 1e8 })];
    return { client, server, listenOn: { host: 'b', port: 0 }, freezeClient };
  };
  await peerNetworkContract(t, create);
  await smallBlobsContract(t, create);
});
