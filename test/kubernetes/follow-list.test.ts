import t from 'tap';
import { delay } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
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

/** When a list is read whose watches tell one event, and break so long after that: seconds. */
async function lists(watchMs: number, untilMs: number): Promise<number[]> {
  const clock = new FakeClock();
  const closing = new AbortController();
  const read: number[] = [];
  const client: KubernetesClient = {
    read: async () => {
      read.push(Math.round(clock.now() / 1000));
      return { metadata: { resourceVersion: '7' }, items: [] };
    },
    async *stream(_path, signal) {
      yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: '8' } } };
      await delay(clock, watchMs, signal);
      throw new Error('cut');
    },
    close: async () => {},
  };
  const sink = { read: () => undefined, listed() {}, changed() {}, gone() {}, state() {} };
  const deps = { clock, rng: createRng(1), connect: async () => client };
  const following = followList(deps, '/apis/apps/v1/deployments', sink, closing.signal);
  do await new Promise(setImmediate);
  while (clock.advanceToNext(untilMs));
  closing.abort();
  await following;
  return read;
}

t.test('a server that cuts each watch after its first event is asked ever more rarely', async (t) => {
  const read = await lists(100, 30 * 60_000);
  t.ok(read.length >= 20 && read.length <= 60, `${read.length} lists in half an hour`);
  const good = await lists(120_000, 30 * 60_000);
  const gaps = good.slice(1).map((at, index) => at - (good[index] ?? 0));
  t.ok(gaps.length >= 10 && gaps.every((gap) => gap <= 123), `after good watches at once: ${gaps.join()}`);
});
