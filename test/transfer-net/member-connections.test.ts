import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { createAuthority, steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { formatPieceRequest } from '../../lib/transfer/http/piece-request.ts';

const [GREEDY, OTHER] = ['a'.repeat(40), 'b'.repeat(40)] as const;
const MOST = 80;
const PER_MEMBER = MOST / 4;

t.test('case 62: one member cannot hold all connections of a peer port', { timeout: 60_000 }, async (t) => {
  const authority = await createAuthority('ours');
  const [server, greedy, other] = [
    await authority.issue('server'),
    await authority.issue(GREEDY, 'node'),
    await authority.issue(OTHER, 'node'),
  ];
  const refused: string[] = [];
  const network = createHttpPeerNetwork(
    { clock: createSystemClock(), log: silentLog(), onStranger: (reason) => void refused.push(reason) },
    { maxConnections: () => MOST, credentials: steadyCredentials(server) },
  );
  const listener = await network.listen(
    { host: '127.0.0.1', port: 0 },
    { piece: () => ({ kind: 'unknown' }), link: (link) => link.close('not here') },
  );
  const sockets: TLSSocket[] = [];
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await Promise.all([listener.close(), network.close()]);
  });
  /** Whether the connection is answered; it stays open then. */
  const opens = async (keys: TlsKeys, from: string): Promise<boolean> => {
    const socket = connect({ ...listener.address, ...keys, checkServerIdentity: () => undefined });
    sockets.push(socket.on('error', () => socket.destroy()));
    const { address } = listener;
    const range = { start: 0, end: 1 };
    socket.write(formatPieceRequest({ address, digest: digestOf(Buffer.from('x')), range, from }));
    const gone = new Promise<boolean>((resolve) => socket.once('close', () => resolve(false)));
    return await Promise.race([
      gone,
      new Promise<boolean>((resolve) => socket.once('data', () => resolve(true))),
    ]);
  };
  const answered: boolean[] = [];
  for (let index = 0; index < PER_MEMBER + 5; index++) answered.push(await opens(greedy, GREEDY));
  t.same(answered.indexOf(false), PER_MEMBER, 'it has a quarter of all');
  t.notOk(answered.slice(PER_MEMBER).includes(true));
  t.ok(refused.includes('too-many'));
  t.ok(await opens(other, OTHER), 'another member is answered');
  sockets[0]?.destroy();
  const deadline = AbortSignal.timeout(20_000);
  while (!(await opens(greedy, GREEDY))) deadline.throwIfAborted();
  t.pass('what it gives back it may have again');
});
