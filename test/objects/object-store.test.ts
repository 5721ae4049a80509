import t, { type Test } from 'tap';
import { parseS3Address } from '../../lib/core/s3-address.ts';
import { MemoryObjectStore } from '../../lib/objects/memory-object-store.ts';
import { openS3 } from '../../lib/objects/s3/s3-object-store.ts';
import { objectStoreContract } from '../contract/object-store.ts';
import { S3_CREDENTIALS, startS3 } from '../helpers/s3-server.ts';

t.test('memory', async (t) => objectStoreContract(t, async () => new MemoryObjectStore()));

t.test('S3', async (t) => {
  Object.assign(process.env, S3_CREDENTIALS);
  const server = await startS3();
  t.teardown(() => server.close());
  const open = async (t: Test) => {
    const store = await openS3(parseS3Address(server.url)!);
    t.teardown(() => store.close());
    return store;
  };
  objectStoreContract(t, open, { abort: true });
  t.test('what is far too large is not taken into memory', async (t) => {
    const { signal } = new AbortController();
    const store = await open(t);
    await store.put('large', new Uint8Array(64 * 1024 * 1024 + 1), { signal });
    await t.rejects(store.get('large', { signal }), { code: 'STORE_FAILED', message: /larger than/ });
    t.equal((await store.stat('large', { signal }))?.size, 64 * 1024 * 1024 + 1, 'and the store goes on');
  });
  t.test('a bucket that is not there, a wrong key and a dead server are said', async (t) => {
    const { signal } = new AbortController();
    const other = await openS3({ ...parseS3Address(server.url)!, bucket: 'nowhere' });
    t.teardown(() => other.close());
    await t.rejects(other.put('a', Buffer.from('x'), { signal }), {
      code: 'STORE_FAILED',
      message: /nowhere/,
    });
    const dead = await openS3({ ...parseS3Address(server.url)!, endpoint: 'http://127.0.0.1:1' });
    t.teardown(() => dead.close());
    await t.rejects(dead.get('a', { signal }), { code: 'STORE_FAILED', message: /ECONNREFUSED/ });
    await t.rejects(other.get('a', { signal: AbortSignal.abort() }), { code: 'ABORTED' });
  });
});

t.test('addresses of buckets', async (t) => {
  t.same(parseS3Address('s3://blobs'), {
    bucket: 'blobs',
    prefix: '',
    endpoint: undefined,
    region: undefined,
    pathStyle: false,
  });
  t.same(parseS3Address('s3://blobs/a/b/?endpoint=https://rgw.corp&region=eu-1&path-style=false'), {
    bucket: 'blobs',
    prefix: 'a/b/',
    endpoint: 'https://rgw.corp',
    region: 'eu-1',
    pathStyle: false,
  });
  for (const wrong of [
    'blobs',
    'https://blobs',
    's3://B',
    's3://blobs?endpoint=rgw',
    's3://blobs?key=secret',
  ]) {
    t.equal(parseS3Address(wrong), undefined, wrong);
  }
});
