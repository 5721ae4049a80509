import type { Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type {
  Link,
  PeerServerHandlers,
  SmallBlobsAnswer,
  SmallBlobsRequest,
} from '../../lib/transfer/seams.ts';
import { MEDIUM_PEER } from './medium.ts';
import type { PeerNetworkFixture } from './peer-network.ts';
import { defer, NEVER, patternBytes, within } from './peer-network-parts.ts';

const FROM = MEDIUM_PEER;
const ORIGIN = { upstream: 'registry.test', repository: 'team/app', authorization: 'Bearer secret' };

/** What every PeerNetwork does with questions for small blobs. */
export async function smallBlobsContract(t: Test, create: (t: Test) => PeerNetworkFixture): Promise<void> {
  const [first, second, third] = [1, 10_000, 262_144].map(patternBytes) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const named = (bytes: Uint8Array) => ({ digest: digestOf(bytes), size: bytes.length });
  const blobs = [named(first), named(second), named(third)];
  const serve = async (t: Test, smallBlobs?: PeerServerHandlers['smallBlobs']) => {
    const { client, listenOn, server } = create(t);
    const listener = await server.listen(listenOn, {
      piece: () => ({ kind: 'unknown' }),
      link: (link: Link) => link.close('not expected'),
      ...(smallBlobs === undefined ? {} : { smallBlobs }),
    });
    t.teardown(() => listener.close());
    const ask = (
      question: Partial<SmallBlobsRequest> = {},
      signal: AbortSignal = NEVER,
    ): Promise<SmallBlobsAnswer> =>
      within(
        client.fetchSmall({ address: listener.address, from: FROM, blobs, ...question }, { signal }),
        'answer',
      );
    return { ask, listener };
  };
  const same = (got: SmallBlobsAnswer, wanted: SmallBlobsAnswer): boolean =>
    got.length === wanted.length &&
    got.every((bytes, index) => {
      const expected = wanted[index];
      return bytes === undefined || expected === undefined
        ? bytes === expected
        : Buffer.compare(bytes, expected) === 0;
    });

  await t.test('blobs come whole and in order, those that are not there are left out', async (t) => {
    const asked: unknown[] = [];
    let answer: SmallBlobsAnswer = [first, undefined, third];
    const { ask } = await serve(t, async ({ fingerprint: _, ...request }) => {
      asked.push(request);
      return answer;
    });
    t.ok(same(await ask({ origin: ORIGIN }), [first, undefined, third]));
    t.same(asked, [{ from: FROM, blobs, origin: ORIGIN }], 'the question as it was asked');
    answer = [undefined, undefined, undefined];
    t.ok(same(await ask(), answer), 'nothing');
    t.same(asked.at(-1), { from: FROM, blobs });
    answer = [second];
    t.ok(same(await ask({ blobs: [named(second)] }), answer));
  });

  await t.test('many questions at once', async (t) => {
    const { ask } = await serve(t, async ({ blobs: wanted }) =>
      wanted.map(({ size }) => [first, second, third].find((bytes) => bytes.length === size)),
    );
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask()));
    t.ok(answers.every((answer) => same(answer, [first, second, third])));
  });

  await t.test('a peer that does not know the question has nothing', async (t) => {
    const { ask } = await serve(t);
    t.ok(same(await ask(), [undefined, undefined, undefined]));
  });

  await t.test('nobody listening, and a peer that fails, are PEER_UNREACHABLE', async (t) => {
    const { ask, listener } = await serve(t, async () => {
      throw new Error('disk on fire');
    });
    await t.rejects(ask(), { code: 'PEER_UNREACHABLE' });
    await within(listener.close(), 'close');
    await t.rejects(ask(), { code: 'PEER_UNREACHABLE' });
  });

  await t.test('who gives up is gone at once, and the peer hears of it', async (t) => {
    const heard = defer<void>();
    const began = defer<void>();
    const { ask } = await serve(t, (_request, { signal }) => {
      began.resolve();
      signal.addEventListener('abort', () => heard.resolve());
      return heard.promise.then(() => blobs.map(() => undefined));
    });
    await t.rejects(ask({}, AbortSignal.abort()), { code: 'ABORTED' });
    const abort = new AbortController();
    const asking = ask({}, abort.signal);
    await within(began.promise, 'question');
    abort.abort();
    await t.rejects(asking, { code: 'ABORTED' });
    await within(heard.promise, 'the end of the question');
  });
}
