import { once } from 'node:events';
import { type AddressInfo, createServer, type LookupFunction, type Server, type Socket } from 'node:net';
import { type Test, t } from 'tap';
import { patientConnector } from '../../lib/origin/http/patient-connector.ts';

await t.test('a busy process gives the addresses of a name their time', async (t) => {
  const { port } = await startSilent(t);
  // Nobody listens at the second, as where a name has an address of a protocol that this machine does not speak.
  const connect = patientConnector({ timeout: 6_000, lookup: leadsTo('127.0.0.1', '127.0.0.9') });
  const connecting = connected(t, connect, { hostname: 'registry.test', port, protocol: 'http:' });
  const blocked = block(400, 4);
  await t.resolves(connecting);
  await blocked.ended;
});

await t.test('time that the process itself took does not count', async (t) => {
  const server = await startSilent(t);
  const connect = patientConnector({ timeout: 600, lookup: leadsTo('127.0.0.1') });
  const target = { hostname: 'registry.test', port: server.port, protocol: 'https:' };
  const blocked = block(100);
  await t.rejects(connected(t, connect, target), { code: 'UND_ERR_CONNECT_TIMEOUT' });
  blocked.stop();
  t.equal(server.connections(), 2, 'asked once more while the process was busy');
});

await t.test('a registry that does not answer is not waited for twice', async (t) => {
  const server = await startSilent(t);
  const connect = patientConnector({ timeout: 600, lookup: leadsTo('127.0.0.1') });
  const target = { hostname: 'registry.test', port: server.port, protocol: 'https:' };
  await t.rejects(connected(t, connect, target), { code: 'UND_ERR_CONNECT_TIMEOUT' });
  t.equal(server.connections(), 1);
});

/** Takes connections and says nothing on them. */
async function startSilent(t: Test): Promise<{ readonly port: string; connections(): number }> {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: String((server.address() as AddressInfo).port), connections: () => sockets.length };
}

function leadsTo(...addresses: string[]): LookupFunction {
  return (_name, _options, callback) =>
    void setImmediate(
      callback,
      null,
      addresses.map((address) => ({ address, family: 4 })),
    );
}

async function connected(
  t: Test,
  connect: ReturnType<typeof patientConnector>,
  target: Parameters<ReturnType<typeof patientConnector>>[0],
): Promise<Socket> {
  const { promise, reject, resolve } = Promise.withResolvers<Socket>();
  connect(target, (error, socket) => (error === null ? resolve(socket) : reject(error)));
  const socket = await promise;
  t.teardown(() => socket.destroy());
  return socket;
}

/** Keeps the event loop from everything else for so long each turn. */
function block(
  ms: number,
  turns = Number.POSITIVE_INFINITY,
): { stop(): void; readonly ended: Promise<void> } {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let left = turns;
  const turn = (): void => {
    if (left-- <= 0) return resolve();
    Atomics.wait(never, 0, 0, ms);
    setImmediate(turn);
  };
  setImmediate(turn);
  return {
    stop: () => {
      left = 0;
    },
    ended,
  };
}
