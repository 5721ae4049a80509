import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { KubernetesClient } from '../../tracker/kubernetes/api-server.ts';
import { followList, type ListSink } from '../../tracker/kubernetes/follow-list.ts';

/** Reads one list of a server that has so many pages of two objects each. @returns what happened, in order */
async function reading(pages: number): Promise<string[]> {
  const done: string[] = [];
  const closing = new AbortController();
  let told = 0;
  const client: KubernetesClient = {
    read: async () => {
      done.push('page');
      const more = ++told < pages ? { continue: `from ${told}` } : {};
      return { metadata: { resourceVersion: '7', ...more }, items: [{ name: 'a' }, { name: 'b' }] };
    },
    async *stream() {
      closing.abort();
    },
    close: async () => {},
  };
  const sink: ListSink<number> = {
    read: () => done.push('read'),
    listed: (all) => void done.push(`listed ${all.length}`),
    changed: () => {},
    gone: () => {},
    state(problem) {
      if (problem === undefined) return;
      done.push(problem);
      closing.abort();
    },
  };
  const deps = { clock: createSystemClock(), rng: createRng(1), connect: async () => client };
  await followList(deps, '/apis/apps/v1/deployments', sink, closing.signal);
  return done;
}

t.test('of each page only what counts is kept while the next one is read', async (t) => {
  t.same(await reading(2), ['page', 'read', 'read', 'page', 'read', 'read', 'listed 4']);
});

t.test('a list without an end is given up', async (t) => {
  const done = await reading(Number.POSITIVE_INFINITY);
  t.equal(done.at(-1), 'a list of more than 1000 pages');
  t.equal(done.filter((each) => each === 'page').length, 1000);
});
