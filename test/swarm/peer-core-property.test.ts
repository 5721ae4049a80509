import fc from 'fast-check';
import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore, type RequestFailure } from '../../lib/swarm/peer-core.ts';
import { actionsOf } from './actions-of.ts';

const PIECES = 40;
const PEERS = 5;
const FAILURES: readonly RequestFailure[] = ['busy', 'unreachable', 'missing', 'corrupt', 'local'];
const UPLOAD_SLOTS = 3;
const DOWNLOAD_SLOTS = 4;

interface Asked {
  readonly peer: number;
  readonly blob: number;
  readonly piece: number;
}

/** Keeps its own books next to a core, and says where the two differ. */
class Auditor {
  readonly core = new PeerCore({ uploadSlots: UPLOAD_SLOTS, downloadSlots: DOWNLOAD_SLOTS }, createRng(1));
  now = 0;
  readonly blobs: number[] = [];
  readonly peers: number[] = [];
  readonly asked = new Map<number, Asked>();
  readonly held = new Set<string>();
  readonly offered = new Map<number, Set<string>>();
  readonly banned = new Set<number>();
  uploads: number[] = [];
  anyArrived = false;

  constructor() {
    for (let i = 0; i < 2; i++) this.blobs.push(this.core.addBlob(PIECES, undefined, i, 0));
    for (let i = 0; i < PEERS; i++) this.addPeer(i);
  }

  addPeer(index: number): void {
    const peer = this.core.addPeer(index === 0 ? 'supernode' : 'node', index !== 1, this.now);
    this.peers[index] = peer;
    this.offered.set(peer, new Set());
    this.banned.delete(peer);
    for (const blob of this.blobs) this.core.peerShares(peer, blob);
  }

  step([op, a, b, c]: readonly [number, number, number, number]): void {
    const { core } = this;
    this.now += c % 200;
    const index = a % PEERS;
    const peer = this.peers[index]!;
    const blob = this.blobs[b % 2]!;
    const piece = c % PIECES;
    const requests = [...this.asked.keys()];
    const request = requests[b % Math.max(1, requests.length)] ?? 99;
    const asked = this.asked.get(request);
    switch (op) {
      case 0:
        this.offered.get(peer)!.add(`${blob}/${piece}`);
        core.peerHas(peer, blob, piece, this.now);
        break;
      case 1:
        core.peerSlots(peer, b % 5, c % 5, [true, false, undefined][a % 3], this.now);
        break;
      case 2:
        if (asked !== undefined) this.held.add(`${asked.blob}/${asked.piece}`);
        this.asked.delete(request);
        core.received(request, this.now);
        break;
      case 3: {
        const reason = FAILURES[a % FAILURES.length]!;
        if (asked !== undefined && reason === 'corrupt') this.banned.add(asked.peer);
        if (asked !== undefined && reason === 'missing') {
          this.offered.get(asked.peer)!.delete(`${asked.blob}/${asked.piece}`);
        }
        this.asked.delete(request);
        core.failed(request, reason, this.now);
        break;
      }
      case 4:
        core.progressed(request, this.now);
        break;
      case 13:
        this.anyArrived = true;
        core.arrived(request, this.now);
        break;
      case 5:
        this.held.add(`${blob}/${piece}`);
        core.obtained(blob, piece, this.now);
        break;
      case 6:
        if (core.admit(peer, blob, piece, this.now)) this.uploads.push(peer);
        break;
      case 7:
        if (this.uploads.length > 0) core.uploaded(this.uploads.shift()!, this.now);
        break;
      case 8:
        if (a % 2 === 0) core.letGo(blob, piece);
        if (core.reserve(blob, piece)) core.unreserve(blob, piece);
        break;
      case 9:
        this.uploads = this.uploads.filter((other) => other !== peer);
        core.removePeer(peer, this.now);
        this.audit();
        this.addPeer(index);
        break;
      case 10:
        this.offered.get(peer)!.add(`${blob}/${piece}`);
        core.offered(peer, blob, piece, this.now);
        break;
      default:
        core.tick(this.now);
    }
    this.audit();
  }

  audit(): void {
    const { core } = this;
    for (const { kind, peer, blob, piece, request } of actionsOf(core)) {
      const key = `${blob}/${piece}`;
      if (kind === 'cancel') this.expect(this.asked.delete(request), 'cancels what was not asked');
      if (kind !== 'request') continue;
      this.expect(!this.asked.has(request), 'a request number is used twice');
      this.expect(!this.held.has(key), 'asks for what is here');
      this.expect(this.offered.get(peer)?.has(key) === true, 'asks for what the peer lacks');
      this.expect(!this.banned.has(peer), 'asks a banned peer');
      this.asked.set(request, { peer, blob, piece });
    }
    const busy = DOWNLOAD_SLOTS - core.freeDownloads;
    const underWay = this.blobs.reduce((sum, blob) => sum + core.inFlight(blob), 0);
    this.expect(busy >= 0 && busy <= DOWNLOAD_SLOTS && underWay <= 2 * DOWNLOAD_SLOTS, 'too many downloads');
    this.expect(underWay <= this.asked.size, 'download slots do not add up');
    if (!this.mayBeYoung) {
      this.expect(underWay >= busy, 'download slots do not add up');
      if (!this.anyArrived) this.expect(underWay === busy, 'a slot is taken by nothing');
    }
    this.expect(core.uploading === this.uploads.length, 'upload slots do not add up');
    this.expect(core.uploading <= UPLOAD_SLOTS, 'too many uploads');
    for (const peer of this.peers) {
      const free = core.freeUploadsFor(peer);
      this.expect(free >= 0 && free + core.uploading <= UPLOAD_SLOTS, 'tells slots that it does not have');
    }
    for (const blob of this.blobs) {
      let held = 0;
      for (let piece = 0; piece < PIECES; piece++) {
        this.expect(core.has(blob, piece) === this.held.has(`${blob}/${piece}`), 'holds something else');
        if (core.has(blob, piece)) held++;
      }
      this.expect(core.held(blob) === held, 'counts wrong');
    }
  }

  /** Whether there may be one slot only, because it has hardly a piece of what it wants. */
  get mayBeYoung(): boolean {
    const held = this.blobs.map((blob) => this.core.held(blob)).filter((count) => count < PIECES);
    return held.length > 0 && held.reduce((sum, count) => sum + count, 0) < 2;
  }

  expect(fine: boolean, otherwise: string): void {
    if (!fine) throw new Error(`${otherwise}, at ${this.now} ms`);
  }
}

await t.test('whatever happens in whatever order, slots add up and every request makes sense', async () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 13 }), fc.nat(100), fc.nat(100), fc.nat(1000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const auditor = new Auditor();
      for (const one of steps) auditor.step(one);
    }),
    { numRuns: 300, seed: 1 },
  );
});

await t.test('a piece that is here but not stored frees its slot, not its place', async (t) => {
  const core = new PeerCore({ downloadSlots: 2 }, createRng(1));
  const blob = core.addBlob(20, undefined, 0, 0);
  const peer = core.addPeer('node', true, 0);
  core.peerShares(peer, blob);
  for (let piece = 0; piece < 20; piece++) core.peerHas(peer, blob, piece, 0);
  core.peerSlots(peer, 9, 4, undefined, 0);
  const asked: number[] = [];
  const open: number[] = [];
  for (let now = 1; now < 10; now++) {
    for (const { kind, piece, request } of actionsOf(core)) {
      if (kind !== 'request') continue;
      asked.push(piece);
      open.push(request);
    }
    for (const request of open) core.arrived(request, now);
  }
  t.equal(new Set(asked).size, asked.length, 'no piece is asked twice');
  t.equal(asked.length, 4, 'no more wait for the disk than twice the slots');
  core.failed(open[0]!, 'local', 20);
  core.received(open[1]!, 20);
  t.equal(core.held(blob), 1);
  core.tick(2000);
  t.equal(actionsOf(core).filter(({ kind }) => kind === 'request').length, 2);
});

await t.test('a late request leaves at most one live request for its piece', async (t) => {
  const core = new PeerCore({}, createRng(1));
  const blob = core.addBlob(1, undefined, 0, 0);
  for (let i = 0; i < 6; i++) {
    const peer = core.addPeer('node', true, 0);
    core.peerShares(peer, blob);
    core.peerHas(peer, blob, 0, 0);
    core.peerSlots(peer, 4, 4, false, 0);
  }
  let asked = 0;
  for (let now = 0; now < 3000; now += 100) {
    core.tick(now);
    asked += actionsOf(core).filter(({ kind }) => kind === 'request').length;
    t.ok(core.inFlight(blob) <= 1);
  }
  t.equal(asked, 6, 'everyone was asked once, one after the other');
});
