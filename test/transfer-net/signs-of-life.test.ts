import { createServer } from 'node:net';
import t from 'tap';
import { createAuthority, steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { type SignOfLife, WORKING_EVERY_MS } from '../../lib/transfer/seams.ts';
import { NEVER, within } from '../contract/peer-network-parts.ts';

const authority = await createAuthority('ours');
const [supernode, node] = [
  await authority.issue('a'.repeat(40), 'supernode'),
  await authority.issue('b'.repeat(40), 'node'),
];
const question = { upstream: 'r', repository: 'app', blob: digestOf(Buffer.from('layer')) };

/** Signs as they come; `next` resolves with the one after those that were asked for before. */
function listener() {
  const signs: SignOfLife[] = [];
  let wake = (): void => {};
  let told = 0;
  return {
    signs,
    onSign: (sign: SignOfLife): void => {
      signs.push(sign);
      wake();
    },
    next: async (): Promise<SignOfLife | undefined> => {
      while (signs.length <= told) {
        await within(new Promise<void>((resolve) => (wake = resolve)), 'a sign of life');
      }
      return signs[told++];
    },
  };
}

t.test('a supernode that takes its time says that it works on the question', async (t) => {
  const clock = new FakeClock();
  const far = createHttpPeerNetwork(
    { clock, log: silentLog() },
    { credentials: steadyCredentials(supernode) },
  );
  const near = createHttpPeerNetwork(
    { clock: createSystemClock(), log: silentLog() },
    { credentials: steadyCredentials(node) },
  );
  const pass = (): void => {
    for (const until = clock.now() + WORKING_EVERY_MS; clock.advanceToNext(until); );
  };
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<undefined>();
  const port = await far.listen(
    { host: '127.0.0.1', port: 0 },
    {
      piece: () => ({ kind: 'unknown' }),
      link: (link) => link.close('not here'),
      capability: () => {
        asked.resolve();
        return answer.promise;
      },
    },
  );
  t.teardown(() => Promise.all([near.close(), port.close(), far.close()]));
  const { next, onSign, signs } = listener();
  const asking = near.askCapability({ address: port.address, question }, { signal: NEVER, onSign });
  t.equal(await next(), 'taken');
  t.equal(await next(), 'works', 'it has shown who it is');
  await within(asked.promise, 'the question');
  for (let i = 0; i < 2; i++) {
    pass();
    t.equal(await next(), 'works');
  }
  answer.resolve(undefined);
  t.equal(await within(asking, 'the answer'), undefined);
  pass();
  t.equal(signs.length, 4, 'and then no more');
});

t.test('of one that stands still only its machine takes the connection', async (t) => {
  const server = createServer((socket) => t.teardown(() => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const near = createHttpPeerNetwork(
    { clock: createSystemClock(), log: silentLog() },
    { credentials: steadyCredentials(node) },
  );
  t.teardown(() => Promise.all([near.close(), new Promise((resolve) => server.close(resolve))]));
  const { next, onSign, signs } = listener();
  const giveUp = new AbortController();
  const asking = near.askCapability(
    { address: { host: '127.0.0.1', port }, question },
    { signal: giveUp.signal, onSign },
  );
  t.equal(await next(), 'taken');
  giveUp.abort();
  await t.rejects(asking, { code: 'ABORTED' });
  t.same(signs, ['taken']);
});
