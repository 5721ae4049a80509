import fc from 'fast-check';
import t from 'tap';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../lib/oci/manifest.ts';
import { hasDigestForm, isRepository, isTag } from '../../lib/oci/names.ts';
import { choosePlatform, formatPlatform, parsePlatform } from '../../lib/oci/platform.ts';
import { formatReference, parseReference } from '../../lib/oci/reference.ts';
import { registryErrorBody, registryErrorOf } from '../../lib/oci/registry-error.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

await t.test('references are read as container clients read them', async (t) => {
  const cases: [string, string][] = [
    ['app', 'docker.io/library/app:latest'],
    ['app:1', 'docker.io/library/app:1'],
    ['team/app', 'docker.io/team/app:latest'],
    ['docker.io/app', 'docker.io/library/app:latest'],
    ['index.docker.io/team/app:x', 'docker.io/team/app:x'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['harbor.corp/a/b/c', 'harbor.corp/a/b/c:latest'],
    [`harbor.corp:443/a/b@${DIGEST}`, `harbor.corp:443/a/b@${DIGEST}`],
    [`app:1@${DIGEST}`, `docker.io/library/app:1@${DIGEST}`],
    ['[::1]:5000/app:1', '[::1]:5000/app:1'],
  ];
  for (const [text, canonical] of cases) t.equal(formatReference(parseReference(text)), canonical, text);
});

await t.test('what is not a reference is refused as such', async (t) => {
  const wrong = [
    '',
    ':',
    '@',
    'App',
    'a//b',
    '/app',
    'app/',
    'app:',
    'app@sha256:12',
    'app:-x',
    'a..b',
    '../etc/passwd',
    `${'a/'.repeat(128)}a`,
    'har bor.corp/app',
    'http://harbor.corp/app',
    'a.b\u0000/app',
  ];
  for (const text of wrong) {
    t.throws(() => parseReference(text), { code: 'REFERENCE_INVALID' }, JSON.stringify(text));
  }
});

await t.test('any text is either refused or has one canonical text that reads back as itself', async () => {
  const alphabet = fc.constantFrom(...'aZ0-_./:@ é%\\');
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: alphabet })), (text) => {
      try {
        const reference = parseReference(text);
        const canonical = formatReference(reference);
        return formatReference(parseReference(canonical)) === canonical && isRepository(reference.repository);
      } catch (error) {
        return hasCode(error, 'REFERENCE_INVALID');
      }
    }),
    { numRuns: 3000 },
  );
});

await t.test('names, tags and digests follow the grammar of the distribution-spec', async (t) => {
  for (const name of ['a', 'a/b', 'a-b.c_d__e/f---g', 'a'.repeat(255)]) t.ok(isRepository(name), name);
  for (const name of ['', 'A', '-a', 'a-', 'a___b', 'a..b', 'a/', '/a', 'a//b', 'a'.repeat(256), 'a\nb']) {
    t.notOk(isRepository(name), name);
  }
  for (const tag of ['v1', '_x', '1.0-rc.1', 'a'.repeat(128)]) t.ok(isTag(tag), tag);
  for (const tag of ['', '.x', '-x', 'a'.repeat(129), 'a/b', 'a b', 'v1\n']) t.notOk(isTag(tag), tag);
  t.ok(hasDigestForm('blake3:abc'));
  t.ok(hasDigestForm('multihash+base58:QmRZ'));
  t.notOk(hasDigestForm('sha256'));
});

await t.test('a manifest is read as far as it can be understood', async (t) => {
  const layer = { mediaType: 'x', digest: DIGEST, size: 3 };
  const read = (value: unknown) => parseManifest(Buffer.from(JSON.stringify(value)));
  t.match(read({ config: { digest: DIGEST, size: 1 }, layers: [layer] }), {
    kind: 'image',
    mediaType: '',
    config: { digest: DIGEST, size: 1, mediaType: '' },
    layers: [layer],
  });
  const odd = [
    layer,
    null,
    7,
    { digest: 'md5:1', size: 1 },
    { ...layer, size: -1 },
    { ...layer, size: '3' },
    { ...layer, urls: ['u', 7] },
  ];
  t.match(read({ layers: odd }), { layers: [layer, { urls: ['u'] }] });
  t.match(
    read({ manifests: [{ ...layer, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }] }),
    {
      kind: 'index',
      manifests: [{ platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }],
    },
  );
  for (const other of [
    '',
    '[]',
    'null',
    '{"schemaVersion":1,"fsLayers":[]}',
    '{"layers":{}}',
    '['.repeat(200_000),
  ]) {
    t.same(parseManifest(Buffer.from(other)), { kind: 'other' }, other.slice(0, 20));
  }
  t.same(parseManifest(Uint8Array.of(0x7b, 0xff, 0x7d)), { kind: 'other' }, 'not UTF-8');
  t.throws(() => parseManifest(new Uint8Array(MAX_MANIFEST_BYTES + 1)), { code: 'UPSTREAM_BROKEN' });
});

await t.test('the first entry for a platform is chosen, variants by their defaults', async (t) => {
  const entry = (text: string, size: number) => ({
    digest: DIGEST as never,
    size,
    mediaType: '',
    platform: parsePlatform(text),
  });
  const entries = [
    entry('unknown/unknown', 0),
    entry('linux/arm64', 1),
    entry('linux/arm/v6', 2),
    entry('linux/arm/v7', 3),
    entry('linux/amd64', 4),
    entry('linux/amd64', 5),
  ];
  const chosen = (text: string) => choosePlatform(entries, parsePlatform(text))?.size;
  t.equal(chosen('linux/arm64/v8'), 1);
  t.equal(chosen('linux/arm'), 3);
  t.equal(chosen('linux/arm/v6'), 2);
  t.equal(chosen('linux/x86_64'), 4);
  t.equal(chosen('windows/amd64'), undefined);
  t.equal(formatPlatform(parsePlatform('linux/arm/v7')), 'linux/arm/v7');
  for (const wrong of ['', 'linux', 'linux/', '/amd64', 'a/b/c/d']) {
    t.throws(() => parsePlatform(wrong), { code: 'CONFIG_INVALID' });
  }
});

await t.test('failures become registry errors that clients understand', async (t) => {
  const told = (code: ConstructorParameters<typeof DamselflyError>[0], facts = {}) =>
    registryErrorOf(new DamselflyError(code, 'why', facts));
  t.match(told('UPSTREAM_UNKNOWN'), { status: 404, code: 'NAME_UNKNOWN' });
  t.match(told('UPSTREAM_UNREACHABLE'), { status: 502, code: 'UNAVAILABLE' });
  t.match(told('UPSTREAM_REFUSED', { status: 403 }), { status: 403, code: 'DENIED' });
  t.match(told('UPSTREAM_REFUSED', { status: 500 }), { status: 502, code: 'UNAVAILABLE' });
  t.same(JSON.parse(registryErrorBody(told('BLOB_UNKNOWN'))), {
    errors: [{ code: 'BLOB_UNKNOWN', message: 'why' }],
  });
});
