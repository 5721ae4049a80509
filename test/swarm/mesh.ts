import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import { ENOUGH_NEIGHBOURS } from '../../lib/swarm/joining.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { SeedCore } from '../../lib/swarm/seed-core.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { actionsOf } from './actions-of.ts';

/** What a node does to others: good, sends wrong bytes, accepts requests and sends nothing, dies at 30 ms. */
export type Behaviour = 'good' | 'corrupt' | 'stall' | 'crash';

export interface MeshOptions {
  readonly nodes: number;
  readonly seeds: number;
  readonly pieces: number;
  readonly rngSeed: number;
  readonly behaviour: (node: number) => Behaviour;
}

const LATENCY_MS = 1;
const TICK_MS = 100;
const TRANSFER_MS = 10;
const CRASH_MS = 30;
/** When the transport gives up on a silent peer. */
const GIVE_UP_MS = 3000;
const HOPELESS_MS = 120_000;
const BLOB = 0;

interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly request: number;
  readonly piece: number;
  running: boolean;
}

/** A whole swarm on one event queue: the decision classes with a made-up network that misbehaves on purpose. */
export class Mesh {
  /** What broke a rule, in words; empty when all is well. */
  readonly broken: string[] = [];
  now = 0;
  readonly #options: MeshOptions;
  readonly #rng: Rng;
  readonly #nodes: PeerCore[] = [];
  readonly #seeds: SeedCore[] = [];
  readonly #dead = new Set<number>();
  /** End -> number of the peer there -> other end. */
  readonly #peers: Map<number, number>[] = [];
  readonly #transfers = new Map<string, Transfer>();
  readonly #uploads: number[] = [];
  readonly #queue: { at: number; run: () => void }[] = [];

  constructor(options: MeshOptions) {
    this.#options = options;
    this.#rng = createRng(options.rngSeed);
    const { nodes, seeds, pieces } = options;
    for (let end = 0; end < nodes + seeds; end++) {
      this.#peers.push(new Map());
      this.#uploads.push(0);
      const core =
        end < nodes ? new PeerCore({}, createRng(options.rngSeed + end)) : new SeedCore({}, createRng(end));
      if (core instanceof PeerCore) {
        core.addBlob(pieces, undefined, 0, 0);
        this.#nodes.push(core);
      } else {
        core.addBlob(pieces);
        this.#seeds.push(core);
      }
    }
    this.#link();
    for (let piece = 0; piece < pieces; piece++) {
      const seed = piece % seeds;
      this.#at(piece, () =>
        this.#tell(nodes + seed, (core) => (core as SeedCore).landed(BLOB, piece, this.now)),
      );
    }
    for (let end = 0; end < nodes + seeds; end++) this.#tick(end);
    for (let node = 0; node < nodes; node++) {
      if (options.behaviour(node) === 'crash') this.#at(CRASH_MS, () => this.#crash(node));
    }
  }

  /** Runs until every living node has everything. @returns whether they all got there */
  run(): boolean {
    while (
      this.#nodes.some((core, node) => !this.#dead.has(node) && core.held(BLOB) < this.#options.pieces)
    ) {
      const next = this.#queue.shift();
      if (next === undefined || next.at > HOPELESS_MS) return false;
      this.now = next.at;
      next.run();
    }
    return true;
  }

  #at(at: number, run: () => void): void {
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#queue[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, { at, run });
  }

  #core(end: number): PeerCore | SeedCore {
    return this.#nodes[end] ?? this.#seeds[end - this.#options.nodes]!;
  }

  #link(): void {
    const { nodes, seeds } = this.#options;
    const tracker = new TrackerCore({ ownersPerBlob: seeds }, this.#rng);
    const info = { host: '', port: 0, zone: '' };
    for (let end = 0; end < nodes + seeds; end++) {
      tracker.join({ id: String(end), role: end < nodes ? 'node' : 'supernode', ...info }, 0);
    }
    const announce = (node: number): void => {
      for (const { id } of tracker.announce(String(node), 'blob', { have: 'none' }, 0)) {
        if (this.#peerOf(node, Number(id)) >= 0) continue;
        this.#connect(node, Number(id));
        this.#connect(Number(id), node);
      }
    };
    for (let node = 0; node < nodes; node++) announce(node);
    for (let node = 0; node < nodes; node++) if (this.#peers[node]!.size < ENOUGH_NEIGHBOURS) announce(node);
  }

  /** One side of a link. */
  #connect(end: number, other: number): void {
    const core = this.#core(end);
    const peer =
      core instanceof SeedCore
        ? core.addPeer(0)
        : core.addPeer(other < this.#options.nodes ? 'node' : 'supernode', true, 0);
    this.#peers[end]!.set(peer, other);
    core.peerShares(peer, BLOB);
    this.#at(LATENCY_MS, () => this.#tell(end, (core) => core.peerSlots(peer, 4, 4, false, this.now)));
  }

  #peerOf(end: number, other: number): number {
    for (const [peer, known] of this.#peers[end]!) if (known === other) return peer;
    return -1;
  }

  /** One event for that end, then whatever it decided. */
  #tell(end: number, event: (core: PeerCore | SeedCore) => void): void {
    if (this.#dead.has(end)) return;
    event(this.#core(end));
    for (const { kind, peer, piece, request } of actionsOf(this.#core(end))) {
      const other = this.#peers[end]!.get(peer) ?? -1;
      if (kind === 'request') this.#request(end, other, piece, request);
      else if (kind === 'cancel') this.#stop(`${end}:${request}`);
      else if (kind === 'have') for (const to of this.#peers[end]!.values()) this.#have(end, to, piece);
      else if (kind === 'offer') {
        this.#send(end, other, (core, from) => (core as PeerCore).offered(from, BLOB, piece, this.now));
      } else if (kind === 'decline') {
        this.#send(end, other, (core, from) => (core as SeedCore).declined(from, BLOB, piece, this.now));
      } else this.#send(end, other, () => {}, kind === 'hungry');
    }
    const core = this.#core(end);
    if (core instanceof PeerCore && core.freeDownloads < 0) {
      this.broken.push(`node ${end} has too many downloads`);
    }
  }

  #have(end: number, to: number, piece: number): void {
    this.#send(end, to, (core, from) => core.peerHas(from, BLOB, piece, this.now));
  }

  /** A message, with the sender's slots as every one carries them. */
  #send(
    end: number,
    to: number,
    message: (core: PeerCore | SeedCore, from: number) => void,
    hungry?: boolean,
  ): void {
    const core = this.#core(end);
    const up = core instanceof PeerCore ? core.freeUploadsFor(this.#peerOf(end, to)) : core.freeSlots;
    const down = core instanceof PeerCore ? core.freeDownloads : 0;
    this.#at(this.now + LATENCY_MS, () => {
      const from = to < 0 ? -1 : this.#peerOf(to, end);
      if (from < 0) return;
      this.#tell(to, (core) => core.peerSlots(from, up, down, hungry, this.now));
      this.#tell(to, (core) => message(core, from));
    });
  }

  #request(to: number, from: number, piece: number, request: number): void {
    const key = `${to}:${request}`;
    if ((this.#core(to) as PeerCore).has(BLOB, piece)) this.broken.push(`node ${to} asks for what it has`);
    if (from < this.#options.nodes && !(this.#core(from) as PeerCore).has(BLOB, piece)) {
      this.broken.push(`node ${to} asks for what node ${from} lacks`);
    }
    const transfer = { from, to, request, piece, running: false };
    this.#transfers.set(key, transfer);
    this.#at(this.now + LATENCY_MS, () => this.#serve(key, transfer));
  }

  #serve(key: string, transfer: Transfer): void {
    const { from, to, request, piece } = transfer;
    if (this.#transfers.get(key) !== transfer || this.#dead.has(from)) return;
    let admitted = false;
    this.#tell(from, (core) => {
      admitted = core.admit(this.#peerOf(from, to), BLOB, piece, this.now);
    });
    if (!admitted) {
      this.#transfers.delete(key);
      this.#tell(to, (core) => (core as PeerCore).failed(request, 'busy', this.now));
      return;
    }
    transfer.running = true;
    if (++this.#uploads[from]! > (from < this.#options.nodes ? 4 : 8)) {
      this.broken.push(`${from} uploads too much`);
    }
    const behaviour = from < this.#options.nodes ? this.#options.behaviour(from) : 'good';
    const durationMs = behaviour === 'stall' ? GIVE_UP_MS : TRANSFER_MS + this.#rng.float() * TRANSFER_MS;
    this.#at(this.now + durationMs, () => {
      if (this.#transfers.get(key) !== transfer) return;
      this.#stop(key);
      this.#tell(to, (core) => {
        const node = core as PeerCore;
        if (behaviour === 'corrupt') node.failed(request, 'corrupt', this.now);
        else if (behaviour === 'stall') node.failed(request, 'unreachable', this.now);
        else node.received(request, this.now);
      });
    });
  }

  /** The transfer is over for the sender. */
  #stop(key: string): void {
    const transfer = this.#transfers.get(key);
    this.#transfers.delete(key);
    if (transfer?.running !== true) return;
    this.#uploads[transfer.from]!--;
    const { from, to } = transfer;
    this.#tell(from, (core) => core.uploaded(this.#peerOf(from, to), this.now));
  }

  #crash(node: number): void {
    this.#dead.add(node);
    for (const other of [...this.#peers[node]!.values()]) {
      const peer = this.#peerOf(other, node);
      this.#tell(other, (core) => core.removePeer(peer, this.now));
      this.#peers[other]!.delete(peer);
    }
    for (const [key, { from, to, running }] of this.#transfers) {
      if (to === node && running) this.#uploads[from]!--;
      if (to === node || from === node) this.#transfers.delete(key);
    }
  }

  #tick(end: number): void {
    this.#tell(end, (core) => core.tick(this.now));
    this.#at(this.now + TICK_MS, () => this.#tick(end));
  }
}
