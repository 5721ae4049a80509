import t from 'tap';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { fetchOrdered } from '../../lib/transfer/preheat/fetch-ordered.ts';

const signal = new AbortController().signal;
const [HERE, BEGUN, ABSENT] = ['here', 'begun', 'absent'].map((text) => digestOf(Buffer.from(text)));
const origin = { upstream: 'harbor.corp', repository: 'team/app' };

/** What the registry was asked, and what was fetched, of a blob ordered on this node. */
async function order(digest = HERE!, needsCapabilities = true) {
  const asked: string[] = [];
  const fetched: BlobRequest[] = [];
  await fetchOrdered(
    {
      origin: {
        ownAuthorization: async (blob) => {
          asked.push(blob.digest);
          return 'Bearer ours';
        },
      },
      store: {
        get: (digest) => {
          const info = blobInfo(digest, 10, 1024);
          const complete = digest === HERE;
          return digest === ABSENT ? undefined : { info, bytes: 5, complete, pinned: false, usedAtMs: 0 };
        },
      },
      needsCapabilities,
      preheat: async (request) => void fetched.push(request),
    },
    { digest, size: 10, origin },
    { signal },
  );
  return { asked, fetched };
}

t.test('what is not whole here is fetched on our own account', async (t) => {
  for (const digest of [BEGUN!, ABSENT!]) {
    const { asked, fetched } = await order(digest);
    t.same(asked, [digest]);
    t.same(fetched, [{ digest, size: 10, origin: { ...origin, authorization: 'Bearer ours' } }]);
  }
});

t.test('what is here costs the registry no question', async (t) => {
  t.same(await order(HERE), { asked: [], fetched: [] });
});

t.test('where peers ask nobody for a right, the registry is not asked either', async (t) => {
  const { asked, fetched } = await order(ABSENT, false);
  t.same(asked, []);
  t.same(fetched[0]?.origin, origin);
});
