import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import t, { type Test } from 'tap';
import { type ConnectionLimits, limitConnections } from '../../lib/observe/connection-limits.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** A server that answers when it is told to. */
async function start(t: Test, limits: ConnectionLimits, host = '127.0.0.1') {
  const waiting: ServerResponse[] = [];
  const server = createServer((_request, response) => void waiting.push(response));
  limitConnections(server, limits);
  server.listen(0, host);
  await once(server, 'listening');
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  return {
    waiting,
    open: async (): Promise<Socket> => {
      const socket = connect((server.address() as AddressInfo).port, host).on('error', () => {});
      sockets.push(socket);
      await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
      return socket;
    },
    ask: async (socket: Socket): Promise<void> => {
      const before = waiting.length;
      socket.write(REQUEST);
      if (waiting.length === before) await once(server, 'request');
    },
  };
}

t.test('case 53: at the limit the connection that has idled for longest makes room', async (t) => {
  const { ask, open } = await start(t, { total: 3, perAddress: 99 });
  const [first, second, third] = [await open(), await open(), await open()];
  await ask(first);
  const gone = once(second, 'close');
  const fourth = await open();
  await gone;
  await ask(fourth);
  t.notOk(first.destroyed, 'it has a request under way');
  t.notOk(third.destroyed, 'it came later');
});

t.test('case 53: when all of them carry a request, who comes last is cut off', async (t) => {
  const { ask, open, waiting } = await start(t, { total: 2, perAddress: 99 });
  const [first, second] = [await open(), await open()];
  await ask(first);
  await ask(second);
  const third = await open();
  await once(third, 'close');
  t.notOk(first.destroyed || second.destroyed);
  waiting[0]?.end('done');
  await once(first, 'data');
  const gone = once(first, 'close');
  const fourth = await open();
  await gone;
  t.notOk(fourth.destroyed, 'a connection whose request is answered is idle again');
});

const outer = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.internal === false && each.family === 'IPv4')?.address;
t.test(
  'one other machine has only so many; this machine as many as there are',
  { skip: outer === undefined ? 'this machine has no address of its own' : false },
  async (t) => {
    const { ask, open } = await start(t, { total: 99, perAddress: 2 }, outer);
    const [first, second] = [await open(), await open()];
    await ask(first);
    await ask(second);
    await once(await open(), 'close');
    const local = await start(t, { total: 99, perAddress: 2 });
    const [one, two] = [await local.open(), await local.open()];
    await local.ask(one);
    await local.ask(two);
    await local.ask(await local.open());
    t.notOk(one.destroyed || two.destroyed);
  },
);
