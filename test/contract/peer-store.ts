import type { Test } from 'tap';
import { layer } from '../tracker/control-rig.ts';
import { granted, type Office, refTo, until } from '../tracker/peer-store-rig.ts';

/** Two trackers that share a store; where a store is of one tracker alone, twice the same one. */
export type TwoOffices = (t: Test) => Promise<{ readonly a: Office; readonly b: Office }>;

/** What members may expect of trackers whatever store is behind them: any of them answers for any blob. */
export function peerStoreContract(t: Test, open: TwoOffices): void {
  t.test('who shares a blob at one tracker is named at the other', async (t) => {
    const { a, b } = await open(t);
    const [holder, seeker, late] = [await a.join('holder'), await b.join('seeker'), await a.join('late')];
    holder.announce('all');
    await until(() => {
      seeker.announce('none');
      return seeker.knows(holder);
    }, 'the seeker hears of the holder');
    await until(() => {
      late.announce('none');
      return late.knows(seeker) && late.knows(holder);
    }, 'and so on');
    t.notOk(seeker.knows(holder, layer(2)));
  });

  t.test('nodes that come in the same moment find each other', async (t) => {
    const { a, b } = await open(t);
    const [one, two] = await Promise.all([a.join('one'), b.join('two')]);
    one.announce('none');
    two.announce('none');
    await until(() => one.knows(two) || two.knows(one), 'one of them hears of the other');
    t.pass();
  });

  t.test('who has left is not named any more', async (t) => {
    const { a, b } = await open(t);
    const [gone, stays, seeker] = [await a.join('gone'), await a.join('stays'), await b.join('seeker')];
    gone.announce('all');
    stays.announce('all');
    await until(() => {
      seeker.announce('none');
      return seeker.knows(gone) && seeker.knows(stays);
    }, 'both are named');
    await gone.discovery.close();
    let tries = 0;
    await until(async () => {
      const next = await b.join(`next ${tries++}`);
      await until(() => {
        next.announce('none');
        return next.knows(stays);
      }, 'an answer');
      const heard = next.knows(gone);
      await next.discovery.close();
      return !heard;
    }, 'a newcomer is told of those alone that are there');
    t.pass();
  });

  t.test('supernodes of one tracker own blobs at the other', async (t) => {
    const { a, b } = await open(t);
    const seeker = await b.join('seeker');
    const supernode = await a.join('supernode', 'supernode');
    await until(() => seeker.discovery.supernodes.some(({ id }) => id === supernode.peer.id), 'the news');
    seeker.announce('none');
    await until(() => seeker.knows(supernode), 'the owner');
    t.same(seeker.discovery.owner(layer(1)), supernode.peer);
    await supernode.discovery.close();
    await until(() => seeker.discovery.supernodes.length === 0, 'it is gone');
    t.equal(seeker.discovery.owner(layer(1)), undefined);
  });

  t.test('one reads a stripe, whichever tracker is asked', async (t) => {
    const { a, b } = await open(t);
    const [first, second] = [await a.join('first'), await b.join('second')];
    const lease = granted(await first.ask({ stripes: [3, 0] }));
    t.equal(lease.stripe, 3);
    t.match(await second.ask({ stripes: [3] }), { kind: 'refused', reason: 'held', holders: [first.peer] });
    t.equal(granted(await second.ask({ stripes: [3, 0] })).stripe, 0);
    t.match(await second.discovery.leases.renew(refTo(lease.token)), { kind: 'refused', reason: 'lost' });
    t.match(await first.discovery.leases.renew(refTo(lease.token)), { kind: 'granted', stripe: 3 });
    first.discovery.leases.release(refTo(lease.token), true);
    t.match(await first.discovery.leases.renew(refTo(lease.token)), { kind: 'refused', reason: 'lost' });
    t.match(await second.ask({ stripes: [3] }), { kind: 'refused', reason: 'read', holders: [first.peer] });
  });

  t.test('a lease without progress is over, and its token is worth nothing any more', async (t) => {
    const { a, b } = await open(t);
    const [slow, next] = [await a.join('slow'), await b.join('next')];
    const old = granted(await slow.ask());
    let answer = await next.ask();
    t.match(answer, { kind: 'refused', reason: 'held' });
    await until(async () => {
      answer = await next.ask();
      return answer?.kind === 'granted';
    }, 'the lease has run out');
    const { token } = granted(answer);
    t.ok(token > old.token, 'tokens grow across trackers');
    t.match(await slow.discovery.leases.renew(refTo(old.token)), { kind: 'refused', reason: 'lost' });
    slow.discovery.leases.release(refTo(old.token), false);
    t.match(await slow.ask(), { kind: 'refused', reason: 'held' }, 'nor does it end the new one');
    t.match(await next.discovery.leases.renew(refTo(token)), { kind: 'granted' });
  });

  t.test('who leaves, or shares the blob no more, leaves its stripes to others', async (t) => {
    const { a, b } = await open(t);
    const [gone, changed, next] = [await a.join('gone'), await a.join('changed'), await b.join('next')];
    changed.announce('none');
    await until(() => changed.answered(), 'the tracker knows that it shares the blob');
    granted(await gone.ask({ stripes: [0] }));
    const { token } = granted(await changed.ask({ stripes: [1] }));
    changed.discovery.leases.release(refTo(token), true);
    t.match(await next.ask({ stripes: [0, 1] }), { kind: 'refused', reason: 'held' });
    await gone.discovery.close();
    changed.discovery.withdraw([layer(1)]);
    const stripes = new Set<number>();
    await until(async () => {
      const answer = await next.ask({ stripes: stripes.has(0) ? [1] : [0] });
      if (answer?.kind === 'granted') stripes.add(answer.stripe);
      return stripes.size === 2;
    }, 'both are given to the next one');
    t.pass();
  });

  t.test('those who step aside are counted together', async (t) => {
    const { a, b } = await open(t);
    const aside = async (office: Office, n: number) =>
      (await office.join(`node ${n}`)).ask({ aside: true, digest: layer(n) });
    for (const n of [1, 2, 3, 4]) granted(await aside(n % 2 === 0 ? a : b, n));
    t.match(await aside(a, 5), { kind: 'refused', reason: 'crowded' });
    t.match(await aside(b, 6), { kind: 'refused', reason: 'crowded' });
    const elsewhere = await b.join('elsewhere');
    granted(await elsewhere.ask({ aside: true, upstream: 'quay.io' }));
  });

  t.test('settings of the cluster reach members of both, and those who come later', async (t) => {
    const { a, b } = await open(t);
    const [teller, hears] = [await a.join('teller'), await b.join('hears')];
    teller.discovery.shareSettings({ atMs: 5, paused: ['harbor.corp'] });
    await until(() => hears.discovery.settings?.paused[0] === 'harbor.corp', 'the settings');
    const late = await b.join('late');
    await until(() => late.discovery.settings?.atMs === 5, 'those who come later');
    t.pass();
  });
}
