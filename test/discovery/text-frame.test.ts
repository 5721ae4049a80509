import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { textFrame } from '../../lib/discovery/tracker/text-frame.ts';
import { wsControlLink } from '../../lib/discovery/tracker/ws-control-link.ts';

t.test('only what is one byte a character and fits into 16 bits of length is one string', async (t) => {
  t.equal(textFrame('{}'), '\x81\x02{}');
  t.equal(textFrame('x'.repeat(125))?.length, 2 + 125);
  t.equal(textFrame('x'.repeat(126))?.slice(0, 5), '\x81\x7e\x00\x7ex');
  t.equal(textFrame('x'.repeat(65_535))?.slice(0, 5), '\x81\x7e\xff\xffx');
  t.equal(textFrame('x'.repeat(65_536)), undefined);
  t.equal(textFrame('caf\u00e9'), undefined);
  t.equal(textFrame('\u20ac'), undefined);
});

t.test('a client of an accepted link gets every text whole, in order, and then the end', async (t) => {
  const texts = ['', 'a', 'é', 'b'.repeat(125), 'c'.repeat(126), '€'.repeat(300), 'd'.repeat(65_535)];
  texts.push('e'.repeat(65_536), 'f'.repeat(200_000), 'last');
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const server = createServer();
  server.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      const link = wsControlLink(accepted, { accepted: socket });
      for (const text of texts) link.send(text);
      link.close(1000, 'told');
      link.send('nobody hears what is said after the end');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const heard: string[] = [];
  client.on('message', (data, isBinary) => heard.push(isBinary ? 'binary' : (data as Buffer).toString()));
  const [code] = (await once(client, 'close')) as [number];
  t.equal(code, 1000);
  t.same(
    heard.map((text) => [text.length, text.slice(0, 1)]),
    texts.map((text) => [text.length, text.slice(0, 1)]),
  );
  t.ok(heard.every((text, at) => text === texts[at]));
});
