import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { type Logger, silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { digestListHash, issueCapability } from '../../lib/security/capability.ts';
import { fingerprintOf } from '../../lib/security/cluster-authority.ts';
import { NOTHING_REVOKED, signRevocationList } from '../../lib/security/revocation-list.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import type { PeerMessage } from '../../lib/wire/peer-messages.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { createSupernode } from '../../supernode/supernode.ts';
import { NEVER, within } from '../contract/peer-network-parts.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

// The peer port of a real supernode: what comes back to who may not have it, what the log says, what is counted.

const clock = createSystemClock();
const authority = await testAuthority();
const ca = authority.certificate;
const DAY_MS = 24 * 60 * 60_000;
const digest = digestOf(Buffer.from('a blob'));

function recordingLog(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = Object.create(silentLog()) as Logger & { lines: string[] };
  const note = (facts: unknown, text: string): void => void lines.push(`${JSON.stringify(facts)} ${text}`);
  return Object.assign(log, { lines, warn: note, error: note });
}

/** A supernode of the cluster, and what it says. */
async function start(t: Test) {
  const log = recordingLog();
  const credentials = steadyCredentials((await testMember(authority, 'supernode')).tls);
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-strangers-'));
  const at = '127.0.0.1:0';
  const supernode = await createSupernode(
    { clock, rng: createSystemRng(), log, wallClockMs: Date.now, credentials },
    supernodeConfig.parse({
      ...{ tracker: [], discovery: 'tracker', peerListen: at, adminListen: at, dataDir: [folder] },
      upstream: ['registry.test=http://127.0.0.1:9'],
    }),
  );
  t.teardown(async () => {
    await supernode.close();
    credentials.close();
    rmSync(folder, { recursive: true });
  });
  const { admin, peer } = supernode.ready as { readonly admin: string; readonly peer: string };
  const [host = '', port = ''] = peer.split(':');
  const counted = async (): Promise<number> => {
    const page = await (await fetch(`http://${admin}/metrics`)).text();
    const values = page.matchAll(/^damselfly_(?:strangers|refused)_total\{.*\} (\d+)$/gm);
    return [...values].reduce((sum, [, value]) => sum + Number(value), 0);
  };
  log.lines.splice(0);
  return { address: { host, port: Number(port) }, counted, credentials, log };
}

/** What comes back over TLS to who asks for a piece. */
function answerTo(address: { readonly host: string; readonly port: number }, keys: Partial<TlsKeys>) {
  return new Promise<string>((resolve) => {
    let text = '';
    const socket = connectTls({ ...keys, ...address, rejectUnauthorized: false });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.write(`GET /v1/blobs/${digest} HTTP/1.1\r\nhost: x\r\nrange: bytes=0-5\r\n\r\n`);
  });
}

t.test('who is no peer: no byte comes back, one line says why, and a metric counts it', async (t) => {
  const { address, counted, credentials, log } = await start(t);
  const revoked = await testMember(authority, 'node');
  credentials.trust({
    revocations: signRevocationList(
      { ...NOTHING_REVOKED, number: 1, members: [`node/${revoked.identity.name}`] },
      authority.key,
    ),
  });
  log.lines.splice(0);
  const cases: readonly { readonly who: string; readonly keys: Partial<TlsKeys>; readonly line: RegExp }[] = [
    { who: 'no certificate', keys: { ca }, line: /PEER_DID_NOT_RETURN_A_CERTIFICATE/ },
    {
      who: 'expired',
      keys: (await testMember(authority, 'node', { nowMs: Date.now() - 2 * DAY_MS })).tls,
      line: /CERT_HAS_EXPIRED/,
    },
    {
      who: 'another cluster',
      keys: { ...(await testMember(await testAuthority(), 'node')).tls, ca },
      line: /UNABLE_TO|SELF_SIGNED|SIGNATURE/,
    },
    { who: 'revoked', keys: revoked.tls, line: /"reason":"revoked"/ },
    {
      who: 'a tracker',
      keys: (await testMember(authority, 'tracker')).tls,
      line: /"reason":"wrong-role"/,
    },
  ];
  for (const { keys, line, who } of cases) {
    const before = await counted();
    t.equal(await within(answerTo(address, keys), who), '', `${who}: no byte`);
    t.equal(log.lines.length, 1, `${who}: one line, ${log.lines.join()}`);
    t.match(log.lines.splice(0)[0], line, who);
    t.equal(await counted(), before + 1, `${who}: counted`);
  }
});

t.test('who says nothing is cut off before who is slow, and a member that is idle stays', async (t) => {
  const { address } = await start(t);
  const silent = connect(address);
  const slow = connect(address, () => slow.write(Buffer.from([22])));
  const keys = (await testMember(authority, 'node')).tls;
  const member = connectTls({ ...keys, ...address, rejectUnauthorized: false });
  for (const socket of [silent, slow, member]) t.teardown(() => socket.destroy());
  for (const socket of [silent, slow]) socket.on('error', () => {});
  await once(member, 'secureConnect');
  silent.resume();
  await within(once(silent, 'close'), 'the silent one');
  t.equal(slow.destroyed, false);
  t.equal(member.destroyed, false);
});

t.test('a node that does what it may not: no byte of a blob, one line, a count', async (t) => {
  const { address, counted, log } = await start(t);
  const node = await testMember(authority, 'node');
  const member = steadyCredentials(node.tls);
  const network = createHttpPeerNetwork({ clock, log: silentLog() }, { credentials: member });
  t.teardown(async () => {
    await network.close();
    member.close();
  });
  const signatures = new Signatures(member);
  const forged = issueCapability(signatures, {
    ...{ list: digestListHash([digest]), holder: fingerprintOf(node.certificate).toString('hex') },
    ...{ sinceMs: Date.now(), untilMs: Date.now() + 60_000 },
  });
  const peer = (role: 'node' | 'supernode', id = member.id) =>
    ({ id, role, host: '127.0.0.1', port: 9, zone: '' }) as const;
  const hello = (role: 'node' | 'supernode', id?: string): PeerMessage => ({
    ...{ type: 'hello', protocol: 1, peer: peer(role, id), clusterTimeMs: Date.now() },
    slots: { up: 0, down: 4 },
  });
  const open: PeerMessage = { type: 'open', handle: 1, digest, size: 6, pieceBytes: 262_144 };

  const cases: readonly {
    readonly who: string;
    readonly says: readonly PeerMessage[];
    readonly line: RegExp;
  }[] = [
    { who: 'has no capability', says: [hello('node'), open], line: /"reason":"no-capability"/ },
    { who: 'says it is a supernode', says: [hello('supernode'), open], line: /in the name of another/ },
    {
      who: 'says it is another',
      says: [hello('node', 'a'.repeat(40)), open],
      line: /in the name of another/,
    },
    {
      who: 'signs a capability itself',
      says: [
        ...[hello('node'), { type: 'voucher', text: signatures.card } as const],
        ...[{ type: 'capability', text: forged, digests: [digest] } as const, open],
      ],
      line: /"reason":"forged"/,
    },
  ];
  for (const { line, says, who } of cases) {
    const before = await counted();
    const link = await within(network.dial(address, { signal: NEVER }), who);
    const heard = Promise.withResolvers<void>();
    // Its hello comes in any case; the line is written in the same turn in which ours is read.
    link.listen({ message: () => {}, closed: () => heard.resolve() });
    for (const message of says) link.send(encodePeerMessage(message));
    const into = new Uint8Array(6);
    const range = { start: 0, end: into.length };
    const fetching = network.fetch({ address, from: member.id, digest, range }, into, { signal: NEVER });
    await t.rejects(within(fetching, who), { code: 'BLOB_UNKNOWN' }, who);
    const small = { address, from: member.id, blobs: [{ digest, size: into.length }] };
    t.same(await within(network.fetchSmall(small, { signal: NEVER }), who), [undefined], who);
    const isRefused = /name of another/.test(line.source);
    if (isRefused) await within(heard.promise, who);
    t.ok(
      into.every((byte) => byte === 0),
      `${who}: no byte`,
    );
    t.equal(log.lines.filter((each) => line.test(each)).length, 1, `${who}: one line, ${log.lines.join()}`);
    t.ok((await counted()) > before, `${who}: counted`);
    log.lines.splice(0);
    link.close('done');
    if (!isRefused) await within(heard.promise, who);
  }
});
