import t from 'tap';
import { isBlobKey, isDigest, isFileKey } from '../../lib/core/digest.ts';
import { fileFacts, fileKey, fileOrigin, fileRequest } from '../../lib/origin/file.ts';

const at = (text: string, more = {}): ReturnType<typeof fileOrigin> => {
  const url = new URL(text);
  return fileOrigin(url, url.host, more);
};
const FACTS = { size: 10, etag: '"a"', lastModified: 'Sat, 01 Nov 2025 10:00:00 GMT' };
const PLACE = { upstream: 'files.corp', repository: '/a/b' };

t.test('a key changes with everything that tells files apart, and with nothing else', async (t) => {
  const key = fileKey(PLACE, FACTS) ?? '';
  t.ok(isFileKey(key) && isBlobKey(key));
  t.notOk(isDigest(key), 'and is no digest that a manifest or a client of the proxy could name');
  t.equal(fileKey({ ...PLACE }, { ...FACTS }), key);
  const others = [
    fileKey({ ...PLACE, upstream: 'other.corp' }, FACTS),
    fileKey({ ...PLACE, repository: '/a/c' }, FACTS),
    fileKey({ ...PLACE, repository: '/a/b#nightly' }, FACTS),
    fileKey(PLACE, { ...FACTS, size: 11 }),
    fileKey(PLACE, { ...FACTS, etag: '"b"' }),
    fileKey(PLACE, { ...FACTS, etag: undefined }),
    fileKey(PLACE, { ...FACTS, lastModified: undefined }),
  ];
  t.equal(new Set([key, ...others]).size, others.length + 1);
});

t.test('a source that says too little gives no key', async (t) => {
  t.equal(fileKey(PLACE, { ...FACTS, size: undefined }), undefined);
  t.equal(fileKey(PLACE, { ...FACTS, etag: undefined, lastModified: undefined }), undefined);
  t.equal(fileKey(PLACE, { ...FACTS, etag: 'W/"a"', lastModified: undefined }), undefined);
  t.type(fileKey(PLACE, { ...FACTS, etag: 'W/"a"' }), 'string');
});

t.test('what an answer says of the whole file', async (t) => {
  const range = { 'content-range': 'bytes 0-0/123', 'content-length': '1' };
  t.equal(fileFacts({ status: 206, headers: range }).size, 123);
  t.equal(fileFacts({ status: 200, headers: { 'content-length': '77' } }).size, 77);
  t.equal(fileFacts({ status: 416, headers: { 'content-range': 'bytes */0' } }).size, 0);
  t.equal(fileFacts({ status: 206, headers: { 'content-range': 'bytes 0-0/*' } }).size, undefined);
  t.equal(fileFacts({ status: 200, headers: {} }).size, undefined);
  const encoded = { 'content-length': '77', 'content-encoding': 'gzip' };
  t.equal(fileFacts({ status: 200, headers: encoded }).size, undefined);
});

t.test('the parameters that are left out travel with the rights, and the rest stays as it is', async (t) => {
  const place = at('https://files.corp/a//b%20c?x=1&Signature=s%2F1&y=%7e&expires=2#part', {
    filtered: ['Signature', 'expires'],
    identifier: 'nightly build',
  });
  t.match(place, { upstream: 'files.corp', repository: '/a//b%20c?x=1&y=%7e#nightly%20build' });
  t.notMatch(place.authorization, 's%2F1');
  t.same(fileRequest(place), {
    path: '/a//b%20c?x=1&Signature=s%2F1&y=%7e&expires=2',
    headers: {},
    secret: [],
  });
  t.notOk('authorization' in at('https://files.corp/a?x=1', { filtered: ['z'] }));
});

t.test('headers come back as they were given, and are all secret', async (t) => {
  const headers = { Authorization: 'Bearer a', 'X-Api-Key': ' b ' };
  t.same(fileRequest(at('https://files.corp/a', { headers })), {
    path: '/a',
    headers: { authorization: 'Bearer a', 'x-api-key': 'b' },
    secret: ['authorization', 'x-api-key'],
  });
  for (const name of ['Host', 'Range', 'If-Match', 'Transfer-Encoding', 'Accept-Encoding', 'a b', '']) {
    t.throws(
      () => at('https://files.corp/a', { headers: { [name]: 'x' } }),
      { code: 'CONFIG_INVALID' },
      name,
    );
  }
  t.throws(() => at('https://files.corp/a', { headers: { 'x-a': 'b\r\nx-b: c' } }), {
    code: 'CONFIG_INVALID',
  });
});

t.test('what another node says is a place or rights is read with care', async (t) => {
  for (const repository of ['/../etc', '/a/../b', '/a b', '/a\\b', '/%2e%2e/x', 'team/app', '', '/a?b c']) {
    t.throws(() => fileRequest({ ...PLACE, repository }), { code: 'UPSTREAM_REFUSED' }, repository);
  }
  t.equal(fileRequest({ ...PLACE, repository: '//other.corp/a' }).path, '//other.corp/a');
  const rights = (given: unknown): string =>
    `Damselfly-File ${Buffer.from(JSON.stringify(given)).toString('base64url')}`;
  for (const authorization of ['Bearer a', 'Damselfly-File !!', rights(null), rights({})]) {
    t.throws(() => fileRequest({ ...PLACE, authorization }), { code: 'UPSTREAM_REFUSED' }, authorization);
  }
  const bad = {
    headers: { host: 'other.corp', range: 'bytes=0-1', 'x-a': 'b\r\nc: d', 'x-b': 1, 'x-c': 'kept' },
    query: '?a b',
  };
  t.same(fileRequest({ ...PLACE, authorization: rights(bad) }), {
    path: '/a/b',
    headers: { 'x-c': 'kept' },
    secret: ['x-c'],
  });
});
