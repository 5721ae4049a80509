import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { Address, PeerServerHandlers } from '../../lib/transfer/seams.ts';
import { mediums } from '../contract/medium.ts';
import { NEVER } from '../contract/peer-network-parts.ts';

const deps = { clock: createSystemClock(), log: silentLog() };
const anyPort = { host: '127.0.0.1', port: 0 };

for (const medium of await mediums()) {
  t.test(`a peer is asked for its way into the DHT, ${medium.name}`, async (t) => {
    const network = createHttpPeerNetwork(deps, { connect: medium.connect });
    const server = createHttpPeerNetwork(deps, medium.network);
    t.teardown(() => Promise.all([network.close(), server.close()]));
    const serve = async (dhtDoor?: PeerServerHandlers['dhtDoor']): Promise<Address> => {
      const listener = await server.listen(anyPort, {
        piece: () => ({ kind: 'unknown' }),
        link: (link) => link.close('not expected'),
        ...(dhtDoor === undefined ? {} : { dhtDoor }),
      });
      t.teardown(() => listener.close());
      return listener.address;
    };
    const door = { member: '12D3KooW', port: 65_006 };
    t.same(await network.locateDht(await serve(async () => door), { signal: NEVER }), door);
    const unreachable = { code: 'PEER_UNREACHABLE' };
    await t.rejects(network.locateDht(await serve(), { signal: NEVER }), unreachable, 'it is in none');
    const failing = await serve(() => Promise.reject(new DamselflyError('PEER_UNREACHABLE', 'no DHT')));
    await t.rejects(network.locateDht(failing, { signal: NEVER }), unreachable);
    const never = await serve(() => new Promise(() => {}));
    const signal = AbortSignal.timeout(100);
    await t.rejects(network.locateDht(never, { signal }), { code: 'ABORTED' });
    await t.rejects(network.locateDht(never, { signal }), { code: 'ABORTED' }, 'too late from the start');
    const strange = { host: 'a\r\nb', port: 1 };
    await t.rejects(network.locateDht(strange, { signal: NEVER }), unreachable);
  });
}

/** Answers everybody with these bytes. */
async function startLiar(t: Test, text: string): Promise<Address> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

t.test('nonsense for an answer is refused', async (t) => {
  const network = createHttpPeerNetwork(deps);
  t.teardown(() => network.close());
  const locate = async (text: string): Promise<unknown> =>
    network.locateDht(await startLiar(t, text), { signal: NEVER });
  const head = 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n';
  const protocol = { code: 'PEER_PROTOCOL' };
  await t.rejects(locate(`${head}{}`), protocol);
  await t.rejects(locate(`${head}{"port":70000,"member":"x"}`), protocol);
  await t.rejects(locate(`${head}{"port":1,"member":"../x"}`), protocol);
  await t.rejects(locate(`${head}${' '.repeat(5000)}`), protocol, 'more than an answer can have');
  await t.rejects(locate('SSH-2.0-x\r\n'), { code: 'PEER_UNREACHABLE' });
});
