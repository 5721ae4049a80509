import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { createMemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import { peerNetworkContract } from '../contract/peer-network.ts';

await t.test('over HTTP and WebSocket', async (t) => {
  await peerNetworkContract(t, (t) => {
    const deps = { clock: createSystemClock(), log: silentLog() };
    const client = createHttpPeerNetwork(deps);
    const server = createHttpPeerNetwork(deps);
    t.teardown(() => Promise.all([client.close(), server.close()]));
    return { client, server, listenOn: { host: '127.0.0.1', port: 0 } };
  });
});

await t.test('in memory', async (t) => {
  await peerNetworkContract(t, () => {
    const network = createMemoryNetwork({ clock: createSystemClock(), rng: createRng(1) });
    return { client: network.host('a'), server: network.host('b'), listenOn: { host: 'b', port: 0 } };
  });
});
