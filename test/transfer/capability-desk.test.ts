import { createPrivateKey, createPublicKey } from 'node:crypto';
import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { fileKey, fileOrigin } from '../../lib/origin/file.ts';
import type { OriginRequest, OriginResponse } from '../../lib/origin/origin-client.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { digestListHash, issueCapability } from '../../lib/security/capability.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import type { PeerRight } from '../../lib/transfer/blobs/shared-blob.ts';
import { CapabilityDesk } from '../../lib/transfer/rights/capability-desk.ts';
import { CapabilityWallet } from '../../lib/transfer/rights/capability-wallet.ts';
import { Grants } from '../../lib/transfer/rights/grants.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const authority = await testAuthority();
const NEVER = new AbortController().signal;
const [config, layer, foreign] = ['c', 'd', 'e'].map((letter) => `sha256:${letter.repeat(64)}`) as [
  Digest,
  Digest,
  Digest,
];
const manifestBytes = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 5 },
    layers: [
      { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layer, size: 9 },
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        ...{ digest: foreign, size: 9, urls: ['https://elsewhere.test/layer'] },
      },
    ],
  }),
);
const manifest = digestOf(manifestBytes);
const place = { upstream: 'r.test', repository: 'team/app' };

/** A supernode at a registry that knows Alice alone. */
async function supernode() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const request = async ({ headers, method, path }: OriginRequest): Promise<OriginResponse> => {
    asked.push(`${method} ${path} ${String(headers['authorization'] ?? '-')}`);
    const known = headers['authorization'] === 'Bearer alice';
    const type = { 'content-type': 'application/vnd.oci.image.manifest.v1+json', 'content-length': '9' };
    const body = method === 'GET' && known ? [manifestBytes] : [];
    return {
      status: known ? 200 : 401,
      headers: type,
      body: (async function* () {
        yield* body;
      })(),
    };
  };
  const signatures = new Signatures(steadyCredentials((await testMember(authority, 'supernode')).tls));
  const common = { clock, log: silentLog(), metrics: createMetrics({ defaults: false }), signatures };
  const parts = { ...common, wallClockMs: () => clock.now() };
  const grants = new Grants(parts);
  const desk = new CapabilityDesk({ ...parts, grants, origin: { request } }, {});
  return { asked, clock, desk, grants, signatures };
}
function advance(clock: FakeClock, ms: number): void {
  const until = clock.now() + ms;
  while (clock.advanceToNext(until));
}

const holder = { id: 'a'.repeat(40), fingerprint: 'b'.repeat(64) };

t.test(
  "the registry is asked with the caller's credential, once for all who come with the same",
  async (t) => {
    const { asked, clock, desk, grants } = await supernode();
    const ask = (authorization?: string) =>
      desk.answer(holder, { ...place, manifest, ...(authorization && { authorization }) }, { signal: NEVER });
    const [first, second] = await Promise.all([ask('Bearer alice'), ask('Bearer alice')]);
    t.same(first?.given?.digests, [config, layer], 'what the manifest lists, but for what lies elsewhere');
    t.same(Buffer.from(second?.manifest?.bytes ?? '', 'base64'), manifestBytes);
    t.same(asked, [`GET /v2/team/app/manifests/${manifest} Bearer alice`]);
    t.ok(grants.allows({ id: holder.id, role: 'node' }, layer), 'the supernode itself knows');
    t.equal(await ask('Bearer mallory'), undefined);
    t.equal(await ask(), undefined);
    t.same(asked.slice(1), [
      `HEAD /v2/team/app/manifests/${manifest} Bearer mallory`,
      `HEAD /v2/team/app/manifests/${manifest} -`,
    ]);
    advance(clock, 61_000);
    t.not(await ask('Bearer alice'), undefined);
    t.equal(asked.length, 4, 'after a minute the registry is asked again');
  },
);

t.test('a blob that no manifest of ours lists is asked for by itself', async (t) => {
  const { asked, desk } = await supernode();
  const question = { ...place, authorization: 'Bearer alice', blob: layer };
  const answer = await desk.answer(holder, question, { signal: NEVER });
  t.same(answer?.given?.digests, [layer]);
  t.equal(answer?.size, 9);
  t.same(asked, [`HEAD /v2/team/app/blobs/${layer} Bearer alice`]);
});

t.test('what is no repository is not asked for', async (t) => {
  const { asked, desk } = await supernode();
  for (const repository of ['../x', 'a/../b', 'a?b', 'a b', '', 'A', 'a//b', `a\r\nb`]) {
    const question = { ...place, repository, authorization: 'Bearer alice', blob: layer };
    t.equal(await desk.answer(holder, question, { signal: NEVER }), undefined, JSON.stringify(repository));
  }
  t.same(asked, []);
});

t.test('a capability is renewed for its holder alone, and no longer than the session', async (t) => {
  const { asked, clock, desk } = await supernode();
  const question = { ...place, authorization: 'Bearer alice', blob: layer };
  let given = (await desk.answer(holder, question, { signal: NEVER }))?.given;
  const renew = (of = holder) =>
    desk.answer(of, { renew: given?.capability ?? '', digests: given?.digests ?? [] }, { signal: NEVER });
  t.equal(await renew({ ...holder, fingerprint: 'c'.repeat(64) }), undefined, 'for somebody else');
  for (let minutes = 0; minutes < 26; minutes += 4) {
    advance(clock, 4 * 60_000);
    const next = (await renew())?.given;
    t.ok((next?.untilMs ?? 0) > (given?.untilMs ?? 0), `after ${minutes + 4} minutes`);
    given = next;
  }
  t.equal(given?.untilMs, 30 * 60_000);
  advance(clock, 3 * 60_000);
  t.equal((await renew())?.given, undefined, 'the session is over');
  t.equal(asked.length, 1);
});

t.test('a session that another supernode began by a clock that was ahead is no longer for it', async (t) => {
  const { clock, desk, signatures } = await supernode();
  const digests = [layer];
  const renew = async (minutes: number) => {
    const sinceMs = clock.now() + minutes * 60_000;
    const times = { sinceMs, untilMs: sinceMs + 5 * 60_000 };
    const text = issueCapability(signatures, {
      ...{ list: digestListHash(digests), holder: holder.fingerprint },
      ...times,
    });
    return (await desk.answer(holder, { renew: text, digests }, { signal: NEVER }))?.given;
  };
  t.equal(await renew(21), undefined, 'further than clocks may be');
  const given = await renew(19);
  t.equal(given?.untilMs, clock.now() + 5 * 60_000);
  advance(clock, 29 * 60_000);
  const question = { renew: given?.capability ?? '', digests };
  t.equal((await desk.answer(holder, question, { signal: NEVER }))?.given?.untilMs, 30 * 60_000);
  advance(clock, 60_000);
  t.equal(await desk.answer(holder, question, { signal: NEVER }), undefined, 'the session is over');
});

/**
 * The wallet of a node whose certificate is another one after `credentials.look()`, and whose client reads.
 * @param aheadMs what it takes the time to be, after its supernode's
 * @param supernodeIsOld it does not say how long a capability holds
 */
async function renewing(
  t: Test,
  beforeAnswer: (credentials: Credentials) => Promise<void> = async () => {},
  { aheadMs = 0, supernodeIsOld = false } = {},
) {
  const { clock, desk } = await supernode();
  const { identity, tls } = await testMember(authority, 'node');
  const publicKey = createPublicKey(createPrivateKey(tls.key));
  const next: TlsKeys = { ...tls, cert: await authority.issue({ identity, publicKey, nowMs: Date.now() }) };
  const log = silentLog();
  const wallClockMs = (): number => clock.now();
  const credentials = new Credentials({ clock, log, wallClockMs }, tls, async () => next);
  t.teardown(() => credentials.close());
  const signatures = new Signatures(credentials);
  const peer = { id: 'f'.repeat(40), role: 'supernode', host: 's', port: 1, zone: '' } as const;
  const fingerprints: string[] = [];
  const granted: [Digest, PeerRight][] = [];
  const request: BlobRequest = {
    digest: layer,
    size: 9,
    origin: { ...place, authorization: 'Bearer alice' },
  };
  const wallet = new CapabilityWallet(
    {
      ...{ clock, log, signatures, metrics: createMetrics({ defaults: false }) },
      wallClockMs: () => wallClockMs() + aheadMs,
      ...{ grants: { openUp() {} }, origin: { isPublic: async () => false } },
      self: () => ({ ...peer, id: identity.name, role: 'node' }),
      rng: createRng(1),
      discovery: { reachable: true, supernodes: [peer] },
      network: {
        askCapability: async ({ question }, options) => {
          const { fingerprint } = signatures;
          fingerprints.push(fingerprint);
          const answer = await desk.answer({ id: identity.name, fingerprint }, question, options);
          await beforeAnswer(credentials);
          if (!supernodeIsOld || answer?.given === undefined) return answer;
          const { capability, card, digests, untilMs } = answer.given;
          return { ...answer, given: { capability, card, digests, untilMs } };
        },
      },
    },
    {
      neighbours: () => [],
      place: () => undefined,
      reads: () => request.origin,
      undecided: () => [],
      decided() {},
      granted: (digest, right) => void granted.push([digest, right]),
      lapsed() {},
    },
  );
  return { clock, credentials, fingerprints, granted, request, wallet };
}

t.test('a node whose certificate was renewed gets a capability for the new one', async (t) => {
  const { clock, credentials, fingerprints, request, wallet } = await renewing(t);
  t.equal(await wallet.ensure(request), 'shown');
  t.ok(wallet.covers(layer));
  await credentials.look();
  t.notOk(wallet.covers(layer), 'the old one is of no use on new connections');
  t.equal(await wallet.ensure(request), 'shown');
  t.equal(new Set(fingerprints).size, 2);
  advance(clock, 5 * 60_000);
  t.notOk(wallet.covers(layer), 'it has expired');
});

t.test(
  'a capability holds for as long as the supernode says, whatever the node takes the time to be',
  async (t) => {
    for (const aheadMs of [-10 * 60_000, 10 * 60_000]) {
      const { clock, request, wallet } = await renewing(t, undefined, { aheadMs });
      t.equal(await wallet.ensure(request), 'shown');
      advance(clock, 4 * 60_000);
      t.ok(wallet.covers(layer));
      advance(clock, 60_000);
      t.notOk(wallet.covers(layer), 'it has run out');
    }
  },
);

t.test('a right that is over when it comes is none, and is not asked for again at once', async (t) => {
  const off = { aheadMs: 10 * 60_000, supernodeIsOld: true };
  const { fingerprints, request, wallet } = await renewing(t, undefined, off);
  t.equal(await wallet.ensure(request), 'none');
  wallet.tick();
  t.notOk(wallet.covers(layer));
  t.equal(fingerprints.length, 1);
});

t.test('a node whose certificate is renewed while it asks asks again, while its client reads', async (t) => {
  const { clock, fingerprints, granted, request, wallet } = await renewing(t, (credentials) =>
    credentials.look(),
  );
  t.equal(await wallet.ensure(request), 'none', 'given for the old one');
  wallet.tick();
  t.equal(fingerprints.length, 1, 'not at once');
  advance(clock, 1000);
  wallet.tick();
  while (granted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.same(granted, [[layer, 'shown']]);
  t.equal(new Set(fingerprints).size, 2);
});

t.test('a file at a URL is for who is let read it now, as the version that it is now', async (t) => {
  const signatures = new Signatures(steadyCredentials((await testMember(authority, 'supernode')).tls));
  const clock = new FakeClock();
  const common = { clock, log: silentLog(), metrics: createMetrics({ defaults: false }), signatures };
  const parts = { ...common, wallClockMs: () => clock.now() };
  const source = { etag: '"one"' };
  const asked: string[] = [];
  const request = async ({ headers, method, path }: OriginRequest): Promise<OriginResponse> => {
    asked.push(`${method} ${path} ${String(headers['range'])}`);
    const status = headers['x-key'] === 'good' ? 206 : 403;
    const told = { etag: source.etag, 'content-range': 'bytes 0-0/9' };
    return { status, headers: told, body: (async function* () {})() };
  };
  const desk = new CapabilityDesk({ ...parts, grants: new Grants(parts), origin: { request } }, {});
  const placeOf = (key: string) =>
    fileOrigin(new URL('https://files.test/model.bin'), 'files.test', { headers: { 'x-key': key } });
  const facts = { size: 9, etag: '"one"', lastModified: undefined };
  const file = fileKey(placeOf('good'), facts)!;
  const ask = async (key: string, more: { readonly blob: Digest } | { readonly manifest: Digest }) =>
    await desk.answer(holder, { ...placeOf(key), ...more }, { signal: NEVER });
  t.match(await ask('good', { blob: file }), { size: 9, given: { digests: [file] } });
  t.same(asked, ['GET /model.bin bytes=0-0']);
  t.equal(await ask('bad', { blob: file }), undefined, 'the source says no');
  t.equal(await ask('good', { blob: layer }), undefined, 'that it has the bytes of a digest nobody can tell');
  t.equal(await ask('good', { manifest: layer }), undefined);
  const elsewhere = fileKey({ upstream: 'other.test', repository: '/model.bin' }, facts)!;
  t.equal(await ask('good', { blob: elsewhere }), undefined, "another source's file");
  t.equal(
    await desk.answer(holder, { ...place, blob: file }, { signal: NEVER }),
    undefined,
    'a registry says nothing of files',
  );
  source.etag = '"two"';
  advance(clock, 61_000);
  t.equal(await ask('good', { blob: file }), undefined, 'it has changed');
});
