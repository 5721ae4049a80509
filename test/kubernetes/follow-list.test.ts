import t from 'tap';
import { delay } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { type KubernetesClient, WatchCut } from '../../tracker/kubernetes/api-server.ts';
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

/** Lists and watches of half an hour whose watches tell one event, and end so long after that with this. */
async function following(watchMs: number, end: Error) {
  const clock = new FakeClock();
  const closing = new AbortController();
  const problems: string[] = [];
  const watches: { readonly atMs: number; readonly from: string | null }[] = [];
  let lists = 0;
  const client: KubernetesClient = {
    read: async () => {
      lists++;
      return { metadata: { resourceVersion: '7' }, items: [] };
    },
    async *stream(path, signal) {
      const from = new URLSearchParams(path.split('?')[1]).get('resourceVersion');
      watches.push({ atMs: clock.now(), from });
      yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(Number(from) + 1) } } };
      await delay(clock, watchMs, signal);
      throw end;
    },
    close: async () => {},
  };
  const state = (problem: string | undefined): void => {
    if (problem !== undefined) problems.push(problem);
  };
  const sink = { read: () => undefined, listed() {}, changed() {}, gone() {}, state };
  const deps = { clock, rng: createRng(1), connect: async () => client };
  const ended = followList(deps, '/apis/apps/v1/deployments', sink, closing.signal);
  do await new Promise(setImmediate);
  while (clock.advanceToNext(30 * 60_000));
  closing.abort();
  await ended;
  return { lists, problems, watches };
}

t.test('a watch that a load balancer cuts goes on from where it was, at once', async (t) => {
  const { lists, problems, watches } = await following(30_000, new WatchCut('cut'));
  t.equal(lists, 1);
  t.same(problems, []);
  t.same(watches.slice(0, 3), [
    { atMs: 0, from: '7' },
    { atMs: 30_000, from: '8' },
    { atMs: 60_000, from: '9' },
  ]);
  t.ok(watches.length >= 60, `${watches.length} watches`);
});

t.test('a server that cuts each watch after its first event is asked ever more rarely', async (t) => {
  const { lists, watches } = await following(100, new WatchCut('cut'));
  t.equal(lists, 1);
  t.ok(watches.length >= 20 && watches.length <= 60, `${watches.length} watches in half an hour`);
});

t.test(
  'what a server says is wrong has it listed again, ever more rarely when that comes soon',
  async (t) => {
    const soon = await following(100, new Error('wrong'));
    t.ok(soon.lists >= 20 && soon.lists <= 60, `${soon.lists} lists in half an hour`);
    t.equal(soon.problems[0], 'wrong');
    const { watches } = await following(120_000, new Error('wrong'));
    const gaps = watches.slice(1).map(({ atMs }, index) => atMs - (watches[index]?.atMs ?? 0));
    t.ok(
      gaps.length >= 10 && gaps.every((gap) => gap <= 123_000),
      `after good watches at once: ${gaps.join()}`,
    );
  },
);
