import type { Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { LeaseAnswer, LeaseRef, LeaseWish } from '../../lib/core/lease.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import type { DiscoveryRig } from './discovery.ts';

let ports = 30_000;

/** What the leases of every Discovery with a tracker must do, whatever is behind it. */
export function leasesContract(t: Test, createRig: () => Promise<DiscoveryRig>): void {
  const wish = (change: Partial<LeaseWish> = {}): LeaseWish => ({
    digest: digestOf(Buffer.from('layer')),
    upstream: 'harbor.corp',
    stripes: [0],
    aside: false,
    ...change,
  });

  const setUp = async (t: Test) => {
    const rig = await createRig();
    t.teardown(() => rig.close());
    const start = async (name: string): Promise<{ peer: PeerInfo; discovery: Discovery }> => {
      const id = Buffer.from(name.padEnd(20, '.')).toString('hex');
      const peer: PeerInfo = { id, role: 'node', host: '127.0.0.1', port: ports++, zone: '' };
      const discovery = rig.connect(peer);
      t.teardown(() => discovery.close());
      await rig.until(() => discovery.reachable, `${name} is connected`);
      return { peer, discovery };
    };
    const settle = async <T>(promise: Promise<T>): Promise<T> => {
      let settled = false;
      void promise.finally(() => {
        settled = true;
      });
      await rig.until(() => settled, 'an answer');
      return await promise;
    };
    const ask = ({ discovery }: { discovery: Discovery }, asked: LeaseWish) =>
      settle(discovery.leases.ask(asked));
    return { rig, start, settle, ask };
  };

  const granted = (answer: LeaseAnswer | undefined): Extract<LeaseAnswer, { kind: 'granted' }> => {
    if (answer?.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(answer)}`);
    return answer;
  };
  const refOf = ({ aside, digest, upstream }: LeaseWish, answer: LeaseAnswer | undefined): LeaseRef => ({
    aside,
    digest,
    upstream,
    token: granted(answer).token,
  });

  t.test('of two who ask, one reads; the other hears who it is', async (t) => {
    const { start, ask } = await setUp(t);
    const [a, b] = [await start('a'), await start('b')];
    const first = granted(await ask(a, wish({ stripes: [3, 0] })));
    t.equal(first.stripe, 3);
    t.ok(first.ttlMs > 0);
    const second = await ask(b, wish({ stripes: [3] }));
    t.match(second, { kind: 'refused', reason: 'held' });
    if (second?.kind === 'refused') t.same(second.holders, [a.peer]);
    t.equal(granted(await ask(b, wish({ stripes: [3, 0] }))).stripe, 0);
  });

  t.test('a lease is renewed by its holder, and is over when released', async (t) => {
    const { start, ask, settle } = await setUp(t);
    const [a, b] = [await start('a'), await start('b')];
    const lease = refOf(wish(), await ask(a, wish()));
    t.match(await settle(a.discovery.leases.renew(lease)), { kind: 'granted', token: lease.token });
    t.match(await settle(b.discovery.leases.renew(lease)), { kind: 'refused', reason: 'lost' });
    a.discovery.leases.release(lease, false);
    t.match(await settle(a.discovery.leases.renew(lease)), { kind: 'refused', reason: 'lost' });
    const next = refOf(wish(), await ask(b, wish()));
    t.ok(next.token > lease.token);
    b.discovery.leases.release(next, true);
    t.match(await ask(a, wish()), { kind: 'refused', reason: 'read' });
  });

  t.test('who leaves leaves its stripes to others', async (t) => {
    const { rig, start, ask } = await setUp(t);
    const [a, b] = [await start('a'), await start('b')];
    granted(await ask(a, wish()));
    t.match(await ask(b, wish()), { kind: 'refused' });
    await a.discovery.close();
    let answer = await ask(b, wish());
    for (let tries = 0; answer?.kind === 'refused' && tries < 100; tries++) {
      await rig.until(() => true, 'a moment');
      answer = await ask(b, wish());
    }
    granted(answer);
  });

  t.test('as many as may have stepped aside, whatever blob it is', async (t) => {
    const { start, ask } = await setUp(t);
    const nodes = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => start(name)));
    const asked = nodes.map((_, index) =>
      wish({ digest: digestOf(Buffer.from(`layer ${index}`)), aside: true }),
    );
    for (const [index, node] of nodes.slice(0, 4).entries()) granted(await ask(node, asked[index]!));
    t.match(await ask(nodes[4]!, asked[4]!), { kind: 'refused', reason: 'crowded' });
    granted(await ask(nodes[4]!, { ...asked[4]!, upstream: 'quay.io' }));
  });

  t.test('without a tracker there is no answer, and its successor knows of nothing', async (t) => {
    const { rig, start, ask, settle } = await setUp(t);
    const a = await start('a');
    const lease = refOf(wish(), await ask(a, wish()));
    await rig.setReachable(false);
    await rig.until(() => !a.discovery.reachable, 'the loss is noticed');
    t.equal(await a.discovery.leases.ask(wish()), undefined);
    t.equal(await a.discovery.leases.renew(lease), undefined);
    a.discovery.leases.release(lease, true);
    await rig.setReachable(true);
    await rig.until(() => a.discovery.reachable, 'the next one is there');
    t.match(await settle(a.discovery.leases.renew(lease)), { kind: 'refused', reason: 'lost' });
    granted(await ask(a, wish()));
  });
}
