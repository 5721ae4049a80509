import { connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import t from 'tap';
import { createAuthority, steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { formatPieceRequest } from '../../lib/transfer/http/piece-request.ts';
import { SMALL_BLOBS_PATH } from '../../lib/transfer/http/small-blobs-http.ts';
import { LINK_PATH } from '../../lib/transfer/link/ws-link.ts';
import { servedBlob } from '../contract/peer-network-parts.ts';

const [ours, theirs] = [await createAuthority('ours'), await createAuthority('theirs')];
const MEMBER = 'a'.repeat(40);
const [server, member, stranger] = [
  await ours.issue('server'),
  await ours.issue(MEMBER),
  await theirs.issue('stranger'),
];
const blob = Buffer.from('what only members of the cluster may have');
const network = createHttpPeerNetwork(
  { clock: createSystemClock(), log: silentLog() },
  { credentials: steadyCredentials(server) },
);
let asked = 0;
const listener = await network.listen(
  { host: '127.0.0.1', port: 0 },
  {
    piece: () => {
      asked++;
      return servedBlob(blob);
    },
    link: (link) => link.close('not here'),
  },
);
t.teardown(() => Promise.all([listener.close(), network.close()]));

const { port } = listener.address;
const range = { start: 0, end: blob.length };
const piece = { address: listener.address, from: MEMBER, digest: digestOf(blob), range };
const REQUESTS = {
  'a piece': formatPieceRequest(piece),
  'small blobs': `POST ${SMALL_BLOBS_PATH} HTTP/1.1\r\nhost: peer\r\ncontent-length: 0\r\n\r\n`,
  'a link':
    `GET ${LINK_PATH} HTTP/1.1\r\nhost: peer\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: ${'A'.repeat(22)}==\r\n\r\n`,
};

/** Everything that comes back, until the peer hangs up. */
async function said(socket: Socket, request: string): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {});
  socket.setTimeout(5000, () => socket.destroy());
  socket.write(request);
  // An alert in place of an answer is an error, and what is expected here.
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks).toString('latin1');
}

const tls = (options: ConnectionOptions): Socket =>
  connectTls({ ...options, host: '127.0.0.1', port, rejectUnauthorized: false });
const OUTSIDERS: Readonly<Record<string, () => Socket>> = {
  'in plain HTTP': () => connectPlain(port, '127.0.0.1'),
  'by TLS without a certificate': () => tls({}),
  "with another authority's certificate": () => tls({ key: stranger.key, cert: stranger.cert }),
  'by TLS 1.2': () => tls({ key: member.key, cert: member.cert, maxVersion: 'TLSv1.2' }),
};

for (const [who, open] of Object.entries(OUTSIDERS)) {
  for (const [what, request] of Object.entries(REQUESTS)) {
    t.test(`case 41: who asks for ${what} ${who} gets nothing`, async (t) => {
      const before = asked;
      const answer = await said(open(), request);
      t.notMatch(answer, /HTTP\/1\.1 [123]/);
      t.notOk(answer.includes(blob.toString()));
      t.equal(asked, before, 'nobody even looked for it');
    });
  }
}

t.test('case 41: a member of the cluster gets it', async (t) => {
  const inside = createHttpPeerNetwork(
    { clock: createSystemClock(), log: silentLog() },
    { credentials: steadyCredentials(member) },
  );
  t.teardown(() => inside.close());
  const into = Buffer.alloc(blob.length);
  await inside.fetch(piece, into, { signal: AbortSignal.timeout(10_000) });
  t.same(into, blob);
});
