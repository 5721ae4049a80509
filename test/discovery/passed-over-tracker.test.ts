import t, { type Test } from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { rendezvousOwner } from '../../lib/core/rendezvous.ts';
import type { ControlLink, ControlLinkListener } from '../../lib/discovery/control-link.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import { CONTROL_PATH, type ControlMessage } from '../../lib/wire/control-messages.ts';

const peer: PeerInfo = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: '' };
const HEARTBEAT_MS = 30_000;

/** A tracker with one connection: says nothing while it stands still, and answers what came meanwhile afterwards. */
class Tracker implements ControlLink {
  readonly isOpen = true;
  readonly bufferedBytes = 0;
  /** What it has been told and not been told otherwise. */
  readonly shared = new Set<Digest>();
  announced = 0;
  isStill = false;
  readonly #clock: Clock;
  #listener: ControlLinkListener | undefined;
  #unread: ControlMessage[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  listen(listener: ControlLinkListener): void {
    this.#listener = listener;
    this.#clock.after(1, () => listener.opened?.());
  }

  send(text: string): void {
    const message = decodeControl(text);
    if (message !== undefined) this.#unread.push(message);
    if (!this.isStill) this.#read();
  }

  goOn(): void {
    this.isStill = false;
    this.#read();
  }

  close(): void {
    this.#clock.after(1, () => this.#listener?.closed('closed'));
  }

  terminate(): void {
    this.close();
  }

  #read(): void {
    for (const message of this.#unread.splice(0)) {
      if (message.type === 'hello') {
        const clock = { clusterTimeMs: 1, heartbeatMs: HEARTBEAT_MS, epoch: 1 };
        this.#say({ type: 'welcome', protocol: 1, trackerId: 'b2'.repeat(20), ...clock, supernodes: [] });
      } else if (message.type === 'heartbeat') this.#say(message);
      else if (message.type === 'withdraw') for (const each of message.digests) this.shared.delete(each);
      else if (message.type === 'announce') {
        for (const { digest } of message.blobs) this.shared.add(digest);
        this.announced += message.blobs.length;
        const wanted = message.blobs.filter(({ have }) => have !== 'all');
        if (wanted.length === 0) continue;
        this.#say({ type: 'neighbours', blobs: wanted.map(({ digest }) => ({ digest, peers: [] })) });
      }
    }
  }

  #say(message: ControlMessage): void {
    this.#clock.after(1, () => this.#listener?.message(encodeControl(message)));
  }
}

/** A process and three trackers. */
function start(t: Test) {
  const clock = new FakeClock();
  const urls = ['a', 'b', 'c'].map((name) => `ws://${name}:8400${CONTROL_PATH}`);
  const trackers = urls.map(() => new Tracker(clock));
  const discovery = createTrackerDiscovery(
    {
      ...{ clock, log: silentLog(), rng: createRng(3), wallClockMs: () => 0 },
      dial: (url) => trackers[urls.indexOf(url)]!,
    },
    { trackers: urls, peer },
  );
  const pass = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  t.teardown(async () => {
    const closing = discovery.close();
    pass(1000);
    await closing;
  });
  let blobs = 0;
  /** A blob of the tracker, another one with each call. */
  const blobOf = (tracker: number): Digest => {
    for (;;) {
      const digest = digestOf(Buffer.from(`layer ${blobs++}`));
      const links = urls.map((id) => ({ id }));
      if (rendezvousOwner(digest, links)?.id === urls[tracker]) return digest;
    }
  };
  pass(10);
  return { blobOf, discovery, pass, trackers };
}

t.test('a tracker that was passed over hears that its blob is shared no more', async (t) => {
  const { blobOf, discovery, pass, trackers } = start(t);
  const [slow] = trackers;
  const digest = blobOf(0);
  discovery.announce([{ digest, size: 1, have: 'some' }]);
  pass(20);
  t.ok(slow!.shared.has(digest));
  slow!.isStill = true;
  discovery.announce([{ digest, size: 1, have: 'some' }]);
  pass(2600);
  t.ok(trackers[1]!.shared.has(digest) || trackers[2]!.shared.has(digest), 'another one is asked');
  discovery.withdraw([digest]);
  pass(20);
  slow!.goOn();
  pass(1000);
  t.same(
    trackers.map(({ shared }) => shared.size),
    [0, 0, 0],
  );
});

t.test(
  'complete blobs of a tracker that is silent still are not told to one that speaks again',
  async (t) => {
    const { blobOf, discovery, pass, trackers } = start(t);
    const [one, other] = trackers;
    const complete: Digest[] = [];
    while (complete.length < 50) complete.push(blobOf(1));
    discovery.announce(complete.map((digest) => ({ digest, size: 1, have: 'all' })));
    pass(20);
    t.equal(other!.announced, 50);
    one!.isStill = true;
    other!.isStill = true;
    const wanted = blobOf(0);
    discovery.announce([{ digest: wanted, size: 1, have: 'none' }]);
    pass(2600);
    t.ok(trackers[2]!.shared.has(wanted), 'both are doubted');
    one!.goOn();
    pass(600);
    other!.goOn();
    pass(1000);
    t.same([...one!.shared], [wanted], 'what is wanted comes back');
    t.notOk(trackers[2]!.shared.has(wanted));
    t.equal(other!.announced, 50, 'what is complete is not told anew');
    t.same([...other!.shared].toSorted(), complete.toSorted());
  },
);
