import { createRng } from '../../../lib/runtime/rng.ts';
import { Action } from '../../../lib/swarm/actions.ts';
import { PeerCore } from '../../../lib/swarm/peer-core.ts';
import { clockTimes, type Meter } from './meter.ts';

export const PEER_EVENTS = [
  'peerHas',
  'peerSlots',
  'admit',
  'uploaded',
  'progressed',
  'arrived',
  'received',
  'tick',
] as const;
const [HAS, SLOTS, ADMIT, UPLOADED, PROGRESSED, ARRIVED, RECEIVED, TICK] = PEER_EVENTS.keys();

const NEIGHBOURS = 10;
/** Of three neighbours one has free slots at a time, and every fourth waits for one of ours. */
const FREE_EVERY = 3;
const HUNGRY_EVERY = 4;
/** Of one piece when four come at a time; a fraction, as real clocks give: V8 allocates for some uses of those. */
const ROUND_MS = 13.3;
/** Far more rounds a piece than it takes. */
const MOST_ROUNDS = 4;
const ROUNDS_PER_TICK = 8;

/** One node and its neighbours on their way through blobs, each of which holds other pieces than the others. */
export class PeerDrive {
  readonly #pieces: number;
  readonly #meter: Meter;
  readonly #core: PeerCore;
  readonly #peers: readonly number[];
  /** Neighbour -> the order in which it gets its pieces. */
  readonly #orders: readonly Int32Array[];
  readonly #requests = new Int32Array(64);
  #open = 0;
  #uploading = -1;
  /** Round -> its time, milliseconds. */
  #times: readonly (number | undefined)[] = [];
  #blob = -1;
  #rounds = 0;
  #now: number | undefined;

  constructor(pieces: number, meter: Meter) {
    const rng = createRng(1);
    this.#pieces = pieces;
    this.#meter = meter;
    this.#core = new PeerCore({}, rng);
    this.#peers = Array.from({ length: NEIGHBOURS }, () => this.#core.addPeer('node', true, 0));
    this.#orders = this.#peers.map(() => {
      const order = Int32Array.from({ length: pieces }, (_, piece) => piece);
      for (let i = pieces - 1; i > 0; i--) {
        const j = rng.int(i + 1);
        const piece = order[i]!;
        order[i] = order[j]!;
        order[j] = piece;
      }
      return order;
    });
  }

  /** The next blob, of which nobody holds anything yet. */
  prepare(): void {
    this.#now ??= 0.5;
    if (this.#blob >= 0) this.#core.removeBlob(this.#blob, this.#now);
    this.#blob = this.#core.addBlob(this.#pieces, undefined, 0, this.#now);
    for (const peer of this.#peers) this.#core.peerShares(peer, this.#blob);
    this.#times = clockTimes(this.#now, ROUND_MS, this.#pieces * MOST_ROUNDS);
    this.#core.actions.clear();
    this.#open = 0;
    this.#rounds = 0;
  }

  /** Everything that happens until all pieces are here. */
  run(): void {
    while (this.#core.held(this.#blob) < this.#pieces) {
      this.#now = this.#times[this.#rounds];
      this.#hear();
      this.#serve();
      this.#receive();
      if (this.#rounds % ROUNDS_PER_TICK === 0) {
        this.#meter.begin();
        this.#core.tick(this.#now!);
        this.#meter.end(TICK!, 1);
        this.#act();
      }
      this.#rounds++;
    }
  }

  /** Each neighbour got a piece and tells its slots. */
  #hear(): void {
    const at = this.#rounds;
    if (at < this.#pieces) {
      this.#meter.begin();
      for (let i = 0; i < NEIGHBOURS; i++) {
        this.#core.peerHas(this.#peers[i]!, this.#blob, this.#orders[i]![at]!, this.#now!);
      }
      this.#meter.end(HAS!, NEIGHBOURS);
      this.#act();
    }
    this.#meter.begin();
    for (let i = 0; i < NEIGHBOURS; i++) {
      const up = (i + at) % FREE_EVERY === 0 ? 2 : 0;
      const hungry = (i + at) % HUNGRY_EVERY === 0 ? true : undefined;
      this.#core.peerSlots(this.#peers[i]!, up, 1, hungry, this.#now!);
    }
    this.#meter.end(SLOTS!, NEIGHBOURS);
    this.#act();
  }

  /** A neighbour asks for a piece, and has got it in the next round. */
  #serve(): void {
    const peer = this.#peers[this.#rounds % NEIGHBOURS]!;
    if (this.#uploading >= 0) {
      this.#meter.begin();
      this.#core.uploaded(this.#uploading, this.#now!);
      this.#meter.end(UPLOADED!, 1);
      this.#act();
    }
    this.#meter.begin();
    const admitted = this.#core.admit(peer, this.#blob, this.#rounds % this.#pieces, this.#now!);
    this.#meter.end(ADMIT!, 1);
    this.#uploading = admitted ? peer : -1;
    this.#act();
  }

  /** The oldest request brings its piece. */
  #receive(): void {
    if (this.#open === 0) return;
    const request = this.#requests[0]!;
    this.#requests.copyWithin(0, 1, this.#open--);
    this.#meter.begin();
    this.#core.progressed(request, this.#now!);
    this.#meter.end(PROGRESSED!, 1);
    this.#meter.begin();
    this.#core.arrived(request, this.#now!);
    this.#meter.end(ARRIVED!, 1);
    this.#act();
    this.#meter.begin();
    this.#core.received(request, this.#now!);
    this.#meter.end(RECEIVED!, 1);
    this.#act();
  }

  #act(): void {
    const { actions } = this.#core;
    for (let i = 0; i < actions.length; i++) {
      const request = actions.request[i]!;
      if (actions.kind[i] === Action.request) this.#requests[this.#open++] = request;
      else if (actions.kind[i] === Action.cancel) this.#forget(request);
    }
    actions.clear();
  }

  #forget(request: number): void {
    const at = this.#requests.indexOf(request);
    if (at < 0 || at >= this.#open) return;
    this.#requests.copyWithin(at, at + 1, this.#open--);
  }
}
