import type { Test } from 'tap';
import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { Announcement, Discovery, DiscoveryListener } from '../../lib/discovery/discovery.ts';

/** One implementation under test. */
export interface DiscoveryRig {
  /** False where there is no tracker to have peers dial each other. */
  readonly introduces?: boolean;
  connect(peer: PeerInfo): Discovery;
  /** Stops the tracker, or starts an empty one in its place. */
  setReachable(reachable: boolean): Promise<void>;
  /** Lets time pass until the condition holds; rejects when it never does. `what` names it. */
  until(condition: () => boolean, what: string): Promise<void>;
  close(): Promise<void>;
}

interface Node {
  readonly peer: PeerInfo;
  readonly discovery: Discovery;
  readonly reachable: boolean[];
  /** Settings of the cluster as it heard of them, in order. */
  readonly settings: readonly ClusterSettings[];
  /** How often it heard that supernodes came or went. */
  changes(): number;
  /** Ids of peers that cannot dial it. */
  readonly toDial: readonly string[];
  /** Ids of everyone it was told of for the blob, in order, repeats included. */
  told(digest: Digest): string[];
  /** The same, answer by answer. */
  answers(digest: Digest): readonly (readonly string[])[];
  /** Whether the last it heard of the blob was that a supernode owns it. */
  owned(digest: Digest): boolean | undefined;
}

const heardBy = ({ settings }: Node): readonly ClusterSettings[] => settings;

/** Nodes of a swarm that is too large for everybody to know everybody. */
const OTHERS = 14;

let ports = 20_000;

/** What every Discovery must do, whatever is behind it. */
export function discoveryContract(t: Test, createRig: () => Promise<DiscoveryRig>): void {
  const blob = (name: string): Digest => digestOf(Buffer.from(name));
  const share = (digest: Digest, have: Announcement['have'] = 'none', stalled?: true): Announcement => ({
    digest,
    size: 1000,
    have,
    ...(stalled === undefined ? {} : { stalled }),
  });

  const setUp = async (t: Test) => {
    const rig = await createRig();
    t.teardown(() => rig.close());
    const start = (name: string, role: Role = 'node'): Node => {
      const peer = {
        id: Buffer.from(name.padEnd(20, '.')).toString('hex'),
        role,
        host: '127.0.0.1',
        port: ports++,
        zone: '',
      };
      const answers = new Map<Digest, string[][]>();
      const ownedNow = new Map<Digest, boolean>();
      const reachable: boolean[] = [];
      const toDial: string[] = [];
      let changes = 0;
      const settings: ClusterSettings[] = [];
      const discovery = rig.connect(peer);
      discovery.listenSettings((heard) => void settings.push(heard));
      const listener: DiscoveryListener = {
        neighbours: (digest, peers, owned) => {
          answers.set(digest, [...(answers.get(digest) ?? []), peers.map(({ id }) => id)]);
          ownedNow.set(digest, owned);
        },
        reachable: (now) => void reachable.push(now),
        dial: ({ id }) => void toDial.push(id),
        supernodesChanged: () => void changes++,
      };
      discovery.listen(listener);
      t.teardown(() => discovery.close());
      return {
        peer,
        discovery,
        reachable,
        settings,
        changes: () => changes,
        toDial,
        told: (digest) => (answers.get(digest) ?? []).flat(),
        answers: (digest) => answers.get(digest) ?? [],
        owned: (digest) => ownedNow.get(digest),
      };
    };
    let acks = 0;
    /** Everything that the node said before has arrived: needs a supernode, whom the tracker names for any blob. */
    const settled = async (node: Node, supernode: Node): Promise<void> => {
      const digest = blob(`ack ${acks++}`);
      node.discovery.announce([share(digest)]);
      await rig.until(() => node.told(digest).includes(supernode.peer.id), `${node.peer.id} is heard`);
    };
    return { rig, start, settled };
  };

  t.test('who could not be dialled hears of it, and who has said so', async (t) => {
    const { rig, settled, start } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const [first, second, other] = [start('first'), start('second'), start('other')];
    for (const node of [first, second, other]) await settled(node, supernode);
    second.discovery.unreached(first.peer);
    if (rig.introduces === false) {
      await settled(second, supernode);
      return t.same(first.toDial, [], 'nobody could tell it');
    }
    await rig.until(() => first.toDial.includes(second.peer.id), 'it is to be dialled');
    await settled(other, supernode);
    return t.same([second.toDial, other.toDial], [[], []], 'nobody else does');
  });

  t.test('a node is told whether a supernode owns the blob, and again when that is over', async (t) => {
    const { rig, start } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const [first, second] = [start('first'), start('second')];
    const digest = blob('layer');
    first.discovery.announce([share(digest)]);
    await rig.until(() => first.owned(digest) === true, 'it is owned');
    second.discovery.announce([share(digest)]);
    await rig.until(() => second.owned(digest) === true, 'for the second one too');
    await supernode.discovery.close();
    await rig.until(() => second.owned(digest) === false, 'nobody owns it any more');
  });

  t.test(
    'every announcement is answered, were there nobody, and the answer is owed until then',
    async (t) => {
      const { rig, start } = await setUp(t);
      const node = start('node');
      await rig.until(() => node.discovery.reachable, 'it is connected');
      const [digest, whole, withdrawn] = [blob('layer'), blob('whole'), blob('withdrawn')];
      t.notOk(node.discovery.owes(digest), 'nothing has been asked');
      node.discovery.announce([share(digest), share(whole, 'all'), share(withdrawn)]);
      t.ok(node.discovery.owes(digest));
      t.notOk(node.discovery.owes(whole), 'who has everything asks nothing');
      node.discovery.withdraw([withdrawn]);
      t.notOk(node.discovery.owes(withdrawn));
      await rig.until(() => node.owned(digest) === false, 'the answer is there');
      t.same(node.told(digest), []);
      t.notOk(node.discovery.owes(digest));
      node.discovery.announce([share(digest, 'some')]);
      t.ok(node.discovery.owes(digest), 'asked again');
      await rig.until(() => !node.discovery.owes(digest), 'and answered again');
      await rig.setReachable(false);
      await rig.until(() => !node.discovery.reachable, 'the loss is noticed');
      node.discovery.announce([share(digest)]);
      t.notOk(node.discovery.owes(digest), 'a tracker that is not there owes nothing');
      await rig.setReachable(true);
      await rig.until(() => node.discovery.owes(digest), 'its successor does');
      await rig.until(() => !node.discovery.owes(digest), 'and answers');
    },
  );

  t.test('who owns a blob is known without asking, for as long as it is there', async (t) => {
    const { rig, start } = await setUp(t);
    const node = start('node');
    const supernodes = ['a', 'b', 'c'].map((name) => start(name, 'supernode'));
    const digests = Array.from({ length: 20 }, (_, index) => blob(`layer ${index}`));
    const owners = (): (string | undefined)[] => digests.map((digest) => node.discovery.owner(digest)?.id);
    await rig.until(() => new Set(owners()).size === 3, 'all three are known');
    for (const digest of digests) node.discovery.announce([share(digest)]);
    await rig.until(() => digests.every((digest) => node.told(digest).length > 0), 'the tracker answers');
    t.same(
      digests.map((digest) => node.told(digest)[0]),
      owners(),
      'the same ones as the tracker names',
    );
    const late = start('late');
    await rig.until(
      () => late.discovery.owner(digests[0]!)?.id === owners()[0],
      'a late comer knows them too',
    );
    await supernodes[0]!.discovery.close();
    await rig.until(() => !owners().includes(supernodes[0]!.peer.id), 'the one that left owns nothing');
    const before = owners();
    await rig.setReachable(false);
    await rig.until(() => !node.discovery.reachable, 'the tracker is away');
    t.same(owners(), before, 'what was known is kept');
  });

  t.test('a newcomer is told of those who share the blob, and never of itself', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const [first, second, bystander] = [start('first'), start('second'), start('bystander')];
    const digest = blob('layer');
    first.discovery.announce([share(digest, 'some')]);
    await settled(first, supernode);
    bystander.discovery.announce([share(blob('another layer'), 'all')]);
    second.discovery.announce([share(digest), share(blob('unshared'))]);
    await rig.until(() => second.told(digest).includes(first.peer.id), 'second is told of first');
    t.notOk(second.told(digest).includes(second.peer.id));
    t.notOk(second.told(digest).includes(bystander.peer.id));
    t.same(bystander.told(digest), [], 'nobody is told of a blob it does not share');
  });

  t.test('the supernode that owns the blob comes first', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const digest = blob('layer');
    const others = ['a', 'b', 'c'].map((name) => start(name));
    for (const other of others) {
      other.discovery.announce([share(digest, 'some')]);
      await settled(other, supernode);
    }
    const late = start('late');
    late.discovery.announce([share(digest)]);
    const owner = supernode.peer.id;
    await rig.until(() => late.told(digest).includes(owner), 'late hears of the owner');
    const [answer] = late.answers(digest).filter((peers) => peers.includes(owner));
    t.equal(answer?.[0], owner);
  });

  t.test('a stalled node is given others than before', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const digest = blob('layer');
    for (let i = 0; i < OTHERS; i++) {
      const other = start(`other ${i}`);
      other.discovery.announce([share(digest, 'some')]);
      await settled(other, supernode);
    }
    const node = start('node');
    node.discovery.announce([share(digest)]);
    await rig.until(() => node.told(digest).length > 1, 'the first neighbours');
    const before = new Set(node.told(digest));
    t.ok(before.size <= OTHERS, 'not everybody at once');
    node.discovery.announce([share(digest, 'none', true)]);
    await rig.until(() => node.told(digest).some((id) => !before.has(id)), 'a fresh neighbour');
  });

  t.test('nobody is told of a node that withdrew or closed', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const digest = blob('layer');
    const [withdrawn, closed, kept] = [start('withdrawn'), start('closed'), start('kept')];
    for (const node of [withdrawn, closed, kept]) {
      node.discovery.announce([share(digest, 'some')]);
      await settled(node, supernode);
    }
    withdrawn.discovery.withdraw([digest]);
    await settled(withdrawn, supernode);
    await closed.discovery.close();
    await closed.discovery.close();
    const late = start('late');
    await settled(late, supernode);
    late.discovery.announce([share(digest)]);
    await rig.until(() => late.told(digest).includes(kept.peer.id), 'late is told of the one who stayed');
    t.notOk(late.told(digest).includes(withdrawn.peer.id));
    t.notOk(late.told(digest).includes(closed.peer.id));
  });

  t.test('a blob withdrawn and announced again at once is shared', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const digest = blob('layer');
    const node = start('node');
    node.discovery.announce([share(digest, 'some')]);
    await settled(node, supernode);
    node.discovery.withdraw([digest]);
    node.discovery.announce([share(digest, 'some')]);
    await settled(node, supernode);
    const late = start('late');
    late.discovery.announce([share(digest)]);
    await rig.until(() => late.told(digest).includes(node.peer.id), 'late is told of it');
  });

  t.test('an incomplete node hears of a supernode that joins later', async (t) => {
    const { rig, start } = await setUp(t);
    const node = start('node');
    const complete = start('complete');
    const digest = blob('layer');
    node.discovery.announce([share(digest)]);
    complete.discovery.announce([share(digest, 'all')]);
    await rig.until(() => node.discovery.reachable && complete.discovery.reachable, 'both are connected');
    const supernode = start('supernode', 'supernode');
    await rig.until(() => node.told(digest).includes(supernode.peer.id), 'node is told of the supernode');
    t.same(complete.told(digest), [], 'who has all needs nobody');
    await rig.until(() => node.changes() > 0, 'and that the supernodes are others than before');
    const heard = node.changes();
    await supernode.discovery.close();
    await rig.until(() => node.changes() > heard, 'also when one goes');
  });

  t.test('settings reach everybody, late comers too, and who set them has a receipt', async (t) => {
    const { rig, start } = await setUp(t);
    const [first, second, supernode] = [start('first'), start('second'), start('s', 'supernode')];
    const everybody = [first, second, supernode];
    await rig.until(() => everybody.every(({ discovery }) => discovery.reachable), 'all are connected');
    t.same(everybody.map(heardBy), [[], [], []], 'nothing is set');
    const pause = { atMs: 10, paused: ['all'] };
    first.discovery.shareSettings(pause);
    t.same(first.discovery.settings, pause, 'known to who sets it at once');
    await rig.until(() => everybody.every((node) => heardBy(node).length === 1), 'all hear of it');
    t.same(everybody.map(heardBy), [[pause], [pause], [pause]]);

    second.discovery.shareSettings({ atMs: 9, paused: ['quay.io'] });
    t.same(second.discovery.settings, pause, 'what is older does nothing');
    const resume = { atMs: 11, paused: [] };
    second.discovery.shareSettings(resume);
    await rig.until(() => everybody.every((node) => heardBy(node).length === 2), 'all hear of the next');
    const late = start('late');
    await rig.until(() => heardBy(late).length === 1, 'who comes later hears of it');
    t.same(
      [...everybody, late].map(({ discovery }) => discovery.settings),
      [resume, resume, resume, resume],
    );
    const again: ClusterSettings[] = [];
    late.discovery.listenSettings((settings) => void again.push(settings));
    t.same(again, [resume], 'who listens late hears at once');
  });

  t.test('an empty tracker hears of the settings from members, and the newest win', async (t) => {
    const { rig, start } = await setUp(t);
    const [first, second] = [start('first'), start('second')];
    await rig.until(() => first.discovery.reachable && second.discovery.reachable, 'both are connected');
    const old = { atMs: 10, paused: ['all'] };
    first.discovery.shareSettings(old);
    await rig.until(() => heardBy(second).length === 1, 'both know');
    await rig.setReachable(false);
    await rig.until(() => !first.discovery.reachable && !second.discovery.reachable, 'the loss is noticed');
    const newer = { atMs: 12, paused: ['quay.io'] };
    first.discovery.shareSettings(newer);
    await rig.setReachable(true);
    await rig.until(() => heardBy(second).at(-1)?.atMs === newer.atMs, 'the other hears of the newer');
    await rig.until(() => heardBy(first).at(-1)?.atMs === newer.atMs, 'the receipt is there');
    t.same(
      [first, second].map(({ discovery }) => discovery.settings),
      [newer, newer],
    );
    const late = start('late');
    await rig.until(() => heardBy(late).length === 1, 'a late comer hears of it from the empty tracker');
    t.same(heardBy(late), [newer]);
  });

  t.test('an empty tracker in the place of a lost one learns everything again', async (t) => {
    const { rig, start, settled } = await setUp(t);
    const supernode = start('supernode', 'supernode');
    const [seed, node] = [start('seed'), start('node')];
    const [early, meanwhile] = [blob('early'), blob('meanwhile')];
    seed.discovery.announce([share(early, 'all')]);
    await settled(node, supernode);
    await rig.setReachable(false);
    await rig.until(() => !node.discovery.reachable && !seed.discovery.reachable, 'the loss is noticed');
    t.same(node.reachable, [true, false]);
    seed.discovery.announce([share(meanwhile, 'all')]);
    node.discovery.announce([share(early), share(meanwhile)]);
    await rig.setReachable(true);
    await rig.until(() => seed.discovery.reachable && node.discovery.reachable, 'everyone is back');
    await settled(seed, supernode);
    // The seed may have come back after the node, which asks again while it still lacks something.
    node.discovery.announce([share(early, 'none', true), share(meanwhile, 'none', true)]);
    const both = (): boolean =>
      [early, meanwhile].every((digest) => node.told(digest).includes(seed.peer.id));
    await rig.until(both, 'node finds the seed for both blobs');
    t.same(node.reachable, [true, false, true]);
  });
}
