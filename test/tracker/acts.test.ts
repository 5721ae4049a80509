import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { peerIdOf } from '../../lib/security/identity.ts';
import { NOTHING_REVOKED, signRevocationList } from '../../lib/security/revocation-list.ts';
import { signSettings } from '../../lib/security/signed-settings.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { systemClock } from './control-rig.ts';
import { startSecureTracker } from './identity-rig.ts';

/** Longer than a tracker of this machine needs for any answer. */
const ANSWER_MS = 10_000;

/** What was said to the log as a warning. */
function recordingLog(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = Object.create(silentLog()) as Logger & { lines: string[] };
  return Object.assign(log, {
    lines,
    warn: (facts: unknown, text: string) => void lines.push(`${JSON.stringify(facts)} ${text}`),
  });
}

const peerOf = (
  { identity }: Pick<Awaited<ReturnType<typeof testMember>>, 'identity'>,
  role: PeerInfo['role'],
): PeerInfo => ({
  id: peerIdOf(identity),
  role,
  host: '127.0.0.1',
  port: 1,
  zone: '',
});

/** Says these things over a control connection; resolves with what came back when the tracker answers or ends it. */
async function say(
  t: Test,
  url: string,
  keys: Partial<TlsKeys>,
  messages: readonly ControlMessage[],
): Promise<ControlMessage[]> {
  const socket = new WebSocket(`${url}/control`, {
    ...keys,
    checkServerIdentity: (() => undefined) as () => never,
  });
  t.teardown(() => socket.terminate());
  const heard: ControlMessage[] = [];
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('neither an answer nor an end')), ANSWER_MS);
    const end = (): void => {
      clearTimeout(timer);
      resolve(heard);
    };
    socket.on('open', () => {
      for (const message of messages) socket.send(encodeControl(message));
      // Answered in order: whatever was to come for the others has come by then.
      socket.send(encodeControl({ type: 'heartbeat' }));
    });
    socket.on('message', (data: Buffer) => {
      const message = decodeControl(data.toString());
      if (message?.type === 'heartbeat') end();
      else if (message !== undefined) heard.push(message);
    });
    socket.on('error', () => {});
    socket.on('close', end);
  });
}

t.test('who may not do it: nothing comes back, one line says why, and a metric counts it', async (t) => {
  const log = recordingLog();
  const authority = await testAuthority();
  const { control, credentials, metric } = await startSecureTracker(t, authority, { log });
  const ca = authority.certificate;
  const [node, revoked, tracker] = [
    await testMember(authority, 'node'),
    await testMember(authority, 'node'),
    await testMember(authority, 'tracker'),
  ];
  const stranger = await testMember(await testAuthority(), 'node');
  const expired = await testMember(authority, 'node', { nowMs: Date.now() - 25 * 60 * 60_000 });
  credentials.trust({
    revocations: signRevocationList(
      { ...NOTHING_REVOKED, number: 1, members: [`node/${revoked.identity.name}`] },
      authority.key,
    ),
  });
  log.lines.splice(0);

  const hello = (peer: PeerInfo): ControlMessage => ({
    type: 'hello',
    protocol: 1,
    peer,
    clusterTimeMs: Date.now(),
  });
  const asNode = hello(peerOf(node, 'node'));
  const pause: ClusterSettings = { atMs: Date.now(), paused: ['all'] };
  const deps = { clock: systemClock, log: silentLog(), wallClockMs: Date.now };
  const signer = new Credentials(deps, node.tls, async () => undefined);
  t.teardown(() => signer.close());
  const foreignTracker = await testMember(await testAuthority(), 'tracker');
  const foreignSigner = new Credentials(deps, foreignTracker.tls, async () => undefined);
  t.teardown(() => foreignSigner.close());
  const refused = async (): Promise<number> =>
    Number((await metric('damselfly_tracker_refused_total{reason="identity"}')) ?? 0);

  const cases: readonly {
    readonly who: string;
    readonly keys: Partial<TlsKeys>;
    readonly says: readonly ControlMessage[];
    /** Of what it hears, besides the welcome that a member has a right to. */
    readonly welcome?: boolean;
    readonly line: RegExp;
  }[] = [
    { who: 'no certificate', keys: { ca }, says: [asNode], line: /PEER_DID_NOT_RETURN_A_CERTIFICATE/ },
    {
      who: 'another cluster',
      keys: { ...stranger.tls, ca },
      says: [hello(peerOf(stranger, 'node'))],
      line: /UNABLE_TO|SELF_SIGNED|SIGNATURE/,
    },
    { who: 'expired', keys: expired.tls, says: [hello(peerOf(expired, 'node'))], line: /CERT_HAS_EXPIRED/ },
    { who: 'revoked', keys: revoked.tls, says: [hello(peerOf(revoked, 'node'))], line: /"reason":"revoked"/ },
    {
      who: 'a tracker that announces',
      keys: tracker.tls,
      says: [hello(peerOf(tracker, 'node'))],
      line: /"reason":"wrong-role"/,
    },
    {
      who: 'a node that says it is a supernode',
      keys: node.tls,
      says: [hello(peerOf(node, 'supernode'))],
      line: /in the name of another/,
    },
    {
      who: 'a node in the name of another',
      keys: node.tls,
      says: [hello(peerOf(revoked, 'node'))],
      line: /in the name of another/,
    },
    {
      who: 'a node that pauses the cluster',
      keys: node.tls,
      says: [asNode, { type: 'settings', ...pause }],
      welcome: true,
      line: /"reason":"no-certificate".*may not set any/,
    },
    {
      who: 'a node that signs what it sets',
      keys: node.tls,
      says: [asNode, { type: 'settings', ...signSettings(signer, pause) }],
      welcome: true,
      line: /"reason":"wrong-role"/,
    },
    {
      who: 'a node that passes on what a foreign tracker has set',
      keys: node.tls,
      says: [asNode, { type: 'settings', ...signSettings(foreignSigner, pause) }],
      welcome: true,
      line: /"reason":"other-cluster"/,
    },
    {
      who: 'a node that pushes revocations',
      keys: node.tls,
      says: [asNode, { type: 'trust', revocations: 'dfrevoked1_x.y' }],
      welcome: true,
      line: /unexpected trust/,
    },
  ];
  for (const { keys, line, says, welcome = false, who } of cases) {
    const before = await refused();
    const heard = await say(t, control, keys, says);
    const rest = heard.filter(({ type }) => type !== 'welcome' && type !== 'trust');
    t.same(rest, [], `${who}: nothing`);
    t.equal(
      heard.some(({ type }) => type === 'welcome'),
      welcome,
      who,
    );
    t.equal(log.lines.length, 1, `${who}: one line`);
    t.match(log.lines.splice(0)[0] ?? '', line, who);
    t.equal(await refused(), before + 1, `${who}: counted`);
  }

  const trackerSigner = new Credentials(deps, tracker.tls, async () => undefined);
  t.teardown(() => trackerSigner.close());
  const right = signSettings(trackerSigner, pause);
  const heard = await say(t, control, node.tls, [asNode, { type: 'settings', ...right }]);
  t.match(
    heard.find(({ type }) => type === 'settings'),
    { paused: ['all'] },
    'who passes on what a tracker has set is heard',
  );
  const bent = { ...right, paused: ['all', 'quay.io'], atMs: right.atMs + 1 };
  t.same(
    (await say(t, control, node.tls, [asNode, { type: 'settings', ...bent }])).filter(
      ({ type }) => type === 'settings',
    ),
    [],
    'not when it is other than it was signed',
  );
  t.match(log.lines.join(), /"reason":"forged"/);
});
