import { randomBytes } from 'node:crypto';
import t from 'tap';
import { ask } from '../registry-proxy/fixture.ts';
import { startGround } from './ground.ts';
import { startScriptedRegistry } from './scripted-registry.ts';

interface Faulty {
  readonly number: number;
  readonly what: string;
  /** It shows before the first byte: hardly worth asking again. */
  readonly definite?: boolean;
  /** What the registry sends instead of the blob. */
  readonly send: (blob: Buffer) => { readonly body: Uint8Array; readonly headers?: Record<string, string> };
}

const FAULTS: readonly Faulty[] = [
  {
    number: 49,
    what: 'other bytes than its digest names',
    send: (blob) => ({ body: Buffer.from(blob).fill(0, 0, 1) }),
  },
  {
    number: 51,
    what: 'cut off',
    send: (blob) => ({ body: blob.subarray(0, -1), headers: { 'content-length': String(blob.length) } }),
  },
  {
    number: 51,
    what: 'too short, and well framed',
    definite: true,
    send: (blob) => ({ body: blob.subarray(0, -1) }),
  },
  {
    number: 51,
    what: 'too long',
    definite: true,
    send: (blob) => ({ body: Buffer.concat([blob, Buffer.from('x')]) }),
  },
  {
    number: 51,
    what: 'longer than its Content-Length',
    definite: true,
    send: (blob) => ({ body: blob, headers: { 'content-length': '10' } }),
  },
  {
    number: 52,
    what: 'encoded on the way',
    definite: true,
    send: (blob) => ({ body: blob, headers: { 'content-encoding': 'gzip' } }),
  },
];

// All at once, since each is tried again and again before it is given up.
await t.test('blobs that come wrong are never delivered whole, nor kept', async (t) => {
  const registry = await startScriptedRegistry();
  const ground = await startGround({ upstreams: { 'registry.test': registry.url } });
  t.teardown(async () => {
    await ground.close();
    await registry.close();
  });
  const faults = await Promise.all(
    FAULTS.map(async (fault, index) => {
      const blob = Buffer.concat([Buffer.from([1]), randomBytes(400_000)]);
      const digest = await registry.blob(`a/r${index}`, blob);
      return { ...fault, blob, digest, path: `/v2/a/r${index}/blobs/${digest}?ns=registry.test` };
    }),
  );
  registry.script = (request, response) => {
    const fault = faults.find(({ digest }) => request.url?.includes(digest) === true);
    if (request.method !== 'GET' || fault === undefined) return false;
    const { body, headers } = fault.send(fault.blob);
    response.writeHead(200, { 'content-length': String(body.length), ...headers });
    response.write(body);
    response.socket?.end();
    return true;
  };
  const wrong = await Promise.all(faults.map(({ path }) => ask(ground.port, path)));
  registry.script = undefined;
  const reads = registry.seen.filter(({ method }) => method === 'GET').map(({ url }) => url);
  const right = await Promise.all(faults.map(({ path }) => ask(ground.port, path)));
  for (const [index, { number, what, blob, definite, digest }] of faults.entries()) {
    await t.test(`case ${number}: ${what}`, async (t) => {
      const { status, cut, body } = wrong[index] ?? { status: 0, cut: false, body: blob };
      t.ok(cut || status >= 500, `status ${status}, ${body.length} bytes`);
      t.not(body.length, blob.length);
      const asked = reads.filter((url) => url.includes(digest)).length;
      if (definite === true) {
        t.ok(asked <= 4, `given up after ${asked} reads, of supernode and node together`);
      }
      t.equal(right[index]?.status, 200);
      t.ok(right[index]?.body.equals(blob), 'the next attempt succeeds');
    });
  }
});
