import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { ask } from '../registry-proxy/fixture.ts';
import { freshRepository, type ScriptedCase, sentOf } from './case.ts';

const MIB = 1024 * 1024;

/** What reaches the registry when many ask, or one asks in many ways. */
export const swarmCases: readonly ScriptedCase[] = [
  {
    number: 12,
    title:
      'lazy readers ask for the footer, then the table, then here and there: each exact, and the blob is read once besides',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const size = 24 * MIB;
      const bytes = randomBytes(size);
      const digest = await registry.blob(repository, bytes);
      const path = `/v2/${repository}/blobs/${digest}`;
      const wanted: readonly [string, number, number][] = [
        ['bytes=-47', size - 47, size],
        [`bytes=${size - 200_000}-${size - 48}`, size - 200_000, size - 47],
        ['bytes=9000000-9000999', 9_000_000, 9_001_000],
        ['bytes=0-999', 0, 1000],
        ['bytes=17000000-18999999', 17_000_000, 19_000_000],
      ];
      for (const [range, start, end] of wanted) {
        const answer = await ask(port, path, { headers: { range } });
        t.equal(answer.status, 206, range);
        t.ok(answer.body.equals(bytes.subarray(start, end)), range);
      }
      t.ok((await ask(port, path)).body.equals(bytes));
      // What the swarm does not have yet is read for its own sake: so many bytes, once.
      const parts = wanted.reduce((sum, [, start, end]) => sum + end - start, 0);
      t.ok(sentOf(registry, digest).bytes <= size + parts, `${sentOf(registry, digest).bytes} bytes`);
    },
  },
  {
    number: 16,
    title: 'a hundred clients that ask for one cold blob are one read of the registry',
    async run(t, { port, registry, ground }) {
      const repository = freshRepository();
      const bytes = randomBytes(2 * MIB);
      const digest = await registry.blob(repository, bytes);
      const path = `/v2/${repository}/blobs/${digest}`;
      const before = swarmsOpened(ground.log());
      const answers = await Promise.all(Array.from({ length: 100 }, () => ask(port, path)));
      t.equal(answers.filter(({ status, body }) => status === 200 && body.equals(bytes)).length, 100);
      t.same(sentOf(registry, digest), { bytes: bytes.length, again: 0 });
      const heads = registry.seen.filter(({ method, url }) => method === 'HEAD' && url.includes(digest));
      t.equal(heads.length, 1, 'and one question about the right to it');
      t.equal(swarmsOpened(ground.log()) - before, 1, 'in one swarm');
    },
  },
  {
    number: 17,
    title: 'open-ended Ranges that are dropped after their chunk are one read of the registry',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const chunk = MIB;
      const bytes = randomBytes(13 * chunk);
      const digest = await registry.blob(repository, bytes);
      const path = `/v2/${repository}/blobs/${digest}`;
      const parts = await Promise.all(
        Array.from({ length: 13 }, (_, index) => dropAfter(port, path, index * chunk, chunk)),
      );
      t.ok(Buffer.concat(parts).equals(bytes));
      const sent = sentOf(registry, digest);
      t.equal(sent.again, 0);
      t.ok(sent.bytes <= bytes.length, `${sent.bytes} bytes of ${bytes.length}`);
      t.ok((await ask(port, path)).body.equals(bytes), 'and whole afterwards');
      t.same(sentOf(registry, digest), { bytes: bytes.length, again: 0 });
    },
  },
];

/** How often the daemon has joined a swarm. */
function swarmsOpened(log: string): number {
  return log.split('blob joined its swarm').length - 1;
}

/** Asks for everything from `start` on, takes `bytes` of it and hangs up, as containerd 2.1 does. */
async function dropAfter(port: number, path: string, start: number, bytes: number): Promise<Buffer> {
  const headers = { range: `bytes=${start}-` };
  const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, headers });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  let taken = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    taken += (chunk as Buffer).length;
    if (taken >= bytes) break;
  }
  response.destroy();
  return Buffer.concat(chunks).subarray(0, bytes);
}
