import { DamselflyError } from '../../lib/core/errors.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { Action, ActionBuffer } from '../../lib/swarm/actions.ts';
import { Memory } from '../../lib/swarm/memory.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { OWN_ZONE, SeedCore } from '../../lib/swarm/seed-core.ts';
import { Happens, packSlots } from './events.ts';
import { Flows } from './flows.ts';
import { News } from './news.ts';
import { idealSeconds, pieceCount, type Scenario } from './scenario.ts';
import { buildTopology, type Topology } from './topology.ts';
import { TimingWheel } from './wheel.ts';

const TICK_MS = 100;
/** Numbers of many cores in one array. */
const SLAB_LENGTH = 1 << 18;
/** Ends tick in groups, so that not all of them do at the same moment. */
const TICK_GROUPS = 100;
/** A run that takes so many times the ideal, and a minute, has come to a halt. */
const HOPELESS_RATIO = 50;
const HOPELESS_MS = 60_000;

const BLOB = 0;

/** What came out of a run. */
export interface Outcome {
  /** Node -> seconds from the start to its last piece. */
  readonly seconds: Float64Array;
  /** Bytes read from the registry. */
  readonly originBytes: number;
  /** Most bytes that one node sent. */
  readonly uploadMaxBytes: number;
}

/**
 * Runs a flash crowd through the very classes that daemons, supernodes and trackers run: only the network is made up.
 * Everybody shares one blob and joins at time 0.
 * @throws INTERNAL when the swarm comes to a halt
 */
export class Simulation {
  readonly #scenario: Scenario;
  readonly #pieces: number;
  readonly #topology: Topology;
  readonly #wheel = new TimingWheel();
  readonly #flows: Flows;
  readonly #nodes: PeerCore[] = [];
  readonly #seeds: SeedCore[] = [];
  /** Flow -> what it is for. */
  readonly #flow: { request: number; piece: number; link: number; generation: number; running: boolean }[] =
    [];
  /** Node -> request -> flow. */
  readonly #flowOf: number[][] = [];
  readonly #news: News;
  readonly #doneMs: Float64Array;
  readonly #sentBytes: Float64Array;
  #done = 0;
  #originBytes = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#pieces = pieceCount(scenario);
    const rng = createRng(scenario.rngSeed);
    this.#topology = buildTopology(scenario, rng);
    const ends = scenario.nodes + scenario.seeds;
    const rates = new Float64Array(ends);
    rates.fill(scenario.nodeRate / 1000, 0, scenario.nodes).fill(scenario.seedRate / 1000, scenario.nodes);
    this.#flows = new Flows(rates, this.#wheel, Happens.flowEnds);
    this.#news = new News(scenario.nodes);
    this.#doneMs = new Float64Array(scenario.nodes);
    this.#sentBytes = new Float64Array(ends);
    const actions = new ActionBuffer();
    const memory = new Memory(SLAB_LENGTH);
    for (let node = 0; node < scenario.nodes; node++) {
      const core = new PeerCore({}, createRng(rng.int(0x100000000)), actions, memory);
      core.addBlob(this.#pieces, undefined, 0, 0);
      this.#nodes.push(core);
      this.#flowOf.push([]);
    }
    for (let seed = 0; seed < scenario.seeds; seed++) {
      const core = new SeedCore({}, createRng(rng.int(0x100000000)), actions);
      core.addBlob(this.#pieces);
      this.#seeds.push(core);
    }
    this.#connect();
  }

  /** @param onProgress called now and then with the share of nodes that are done (0..1) and the simulated time */
  run(onProgress: (share: number, atMs: number) => void): Outcome {
    const { nodes } = this.#scenario;
    const wheel = this.#wheel;
    const giveUpMs = idealSeconds(this.#scenario) * 1000 * HOPELESS_RATIO + HOPELESS_MS;
    this.#begin();
    while (this.#done < nodes) {
      if (!wheel.next() || wheel.now > giveUpMs) {
        throw new DamselflyError('INTERNAL', `the simulated swarm came to a halt`, {
          done: this.#done,
          nodes,
          atMs: wheel.now,
        });
      }
      this.#happen(onProgress);
    }
    let uploadMaxBytes = 0;
    for (let node = 0; node < nodes; node++) {
      uploadMaxBytes = Math.max(uploadMaxBytes, this.#sentBytes[node]!);
    }
    return { seconds: this.#doneMs.map((ms) => ms / 1000), originBytes: this.#originBytes, uploadMaxBytes };
  }

  #connect(): void {
    const { nodes, seeds } = this.#scenario;
    const { start, other } = this.#topology;
    for (let end = 0; end < nodes + seeds; end++) {
      for (let at = start[end]!; at < start[end + 1]!; at++) {
        const link = at - start[end]!;
        if (end >= nodes) {
          const seed = this.#seeds[end - nodes]!;
          seed.addPeer(OWN_ZONE);
          seed.peerShares(link, BLOB);
          continue;
        }
        const node = this.#nodes[end]!;
        node.addPeer(other[at]! < nodes ? 'node' : 'supernode', true, 0);
        node.peerShares(link, BLOB);
      }
    }
  }

  /** Everybody has said hello, the registry begins to send. */
  #begin(): void {
    const { nodes, seeds } = this.#scenario;
    const { start } = this.#topology;
    for (let end = 0; end < nodes + seeds; end++) {
      for (let link = 0; link < start[end + 1]! - start[end]!; link++) this.#sendSlots(end, link, false);
    }
    for (let seed = 0; seed < Math.min(seeds, this.#pieces); seed++) this.#read(seed, seed);
    for (let group = 0; group < TICK_GROUPS; group++) {
      this.#wheel.add((group * TICK_MS) / TICK_GROUPS, Happens.tick, group, 0, 0, 0);
    }
  }

  #happen(onProgress: (share: number, atMs: number) => void): void {
    const { kind, a, b, c, d, now } = this.#wheel;
    switch (kind) {
      case Happens.flowEnds:
        if (this.#flows.ended(a, b)) this.#sent(a);
        break;
      case Happens.request:
        if (this.#flow[a]!.generation === b) this.#admit(a);
        break;
      case Happens.arrived:
        if (this.#flow[a]!.generation === b) this.#arrive(a);
        break;
      case Happens.busy:
        if (this.#flow[a]!.generation === b) this.#refused(a, c);
        break;
      case Happens.slots:
        this.#tellSlots(a, b, c, d === 1);
        break;
      case Happens.offer:
        this.#nodes[a]!.peerSlots(b, d >> 8, d & 0xff, undefined, now);
        this.#nodes[a]!.offered(b, BLOB, c, now);
        this.#act(a);
        break;
      case Happens.decline:
        this.#tellSlots(a, b, d, undefined);
        this.#seeds[a - this.#scenario.nodes]!.declined(b, BLOB, c, now);
        this.#act(a);
        break;
      case Happens.haveDue:
        this.#wheel.add(
          now + this.#scenario.latencyMs,
          Happens.have,
          a,
          this.#news.send(a),
          this.#slots(a, -1),
          0,
        );
        break;
      case Happens.have:
        this.#tellHave(a, b, c);
        break;
      case Happens.landed:
        this.#originBytes += this.#bytesOf(b);
        this.#seeds[a]!.landed(BLOB, b, now);
        this.#act(a + this.#scenario.nodes);
        if (b + this.#scenario.seeds < this.#pieces) this.#read(a, b + this.#scenario.seeds);
        break;
      default:
        this.#tick(a);
        if (a === 0) onProgress(this.#done / this.#scenario.nodes, now);
    }
  }

  /** The registry sends the piece to the seed; all seeds share its rate. */
  #read(seed: number, piece: number): void {
    const { registryRate, seeds } = this.#scenario;
    const durationMs = (this.#bytesOf(piece) * Math.min(seeds, this.#pieces) * 1000) / registryRate;
    this.#wheel.add(this.#wheel.now + durationMs, Happens.landed, seed, piece, 0, 0);
  }

  #bytesOf(piece: number): number {
    const { blobBytes, pieceBytes } = this.#scenario;
    return Math.min(pieceBytes, blobBytes - piece * pieceBytes);
  }

  /** Carries out what the core of that end decided: the actions from `first` on; earlier ones are another core's. */
  #act(end: number, first = 0): void {
    const seed = end >= this.#scenario.nodes;
    const { actions } = this.#nodes[end] ?? this.#seeds[end - this.#scenario.nodes]!;
    const soon = this.#wheel.now + this.#scenario.latencyMs;
    for (let i = first; i < actions.length; i++) {
      const link = actions.peer[i]!;
      const piece = actions.piece[i]!;
      switch (actions.kind[i]) {
        case Action.request:
          this.#ask(end, link, piece, actions.request[i]!);
          break;
        case Action.cancel:
          this.#cancel(end, actions.request[i]!);
          break;
        case Action.have:
          if (this.#news.add(end, piece)) {
            this.#wheel.add(this.#wheel.now + this.#scenario.haveDelayMs, Happens.haveDue, end, 0, 0, 0);
          }
          if (this.#nodes[end]!.held(BLOB) === this.#pieces) {
            this.#doneMs[end] = this.#wheel.now;
            this.#done++;
          }
          break;
        case Action.slots:
          this.#sendSlots(end, link, false);
          break;
        case Action.hungry:
          this.#sendSlots(end, link, true);
          break;
        case Action.offer:
        case Action.decline: {
          const at = this.#topology.start[end]! + link;
          const kind = seed ? Happens.offer : Happens.decline;
          this.#wheel.add(
            soon,
            kind,
            this.#topology.other[at]!,
            this.#topology.back[at]!,
            piece,
            this.#slots(end, link),
          );
          break;
        }
        default:
          break;
      }
    }
    actions.length = first;
  }

  /** What a message of the end tells of its slots; `link` = -1 when it goes to everyone. */
  #slots(end: number, link: number): number {
    const seed = this.#seeds[end - this.#scenario.nodes];
    if (seed !== undefined) return packSlots(seed.freeSlots, 0);
    const node = this.#nodes[end]!;
    return packSlots(node.freeUploadsFor(link), node.freeDownloads);
  }

  #sendSlots(end: number, link: number, hungry: boolean): void {
    const { start, other, back } = this.#topology;
    const at = start[end]! + link;
    const soon = this.#wheel.now + this.#scenario.latencyMs;
    this.#wheel.add(soon, Happens.slots, other[at]!, back[at]!, this.#slots(end, link), hungry ? 1 : 0);
  }

  #tellSlots(end: number, link: number, slots: number, hungry: boolean | undefined): void {
    const core = this.#nodes[end] ?? this.#seeds[end - this.#scenario.nodes]!;
    core.peerSlots(link, slots >> 8, slots & 0xff, hungry, this.#wheel.now);
    this.#act(end);
  }

  /** All neighbours of the end hear which pieces it has got. */
  #tellHave(end: number, message: number, slots: number): void {
    const { start, other, back } = this.#topology;
    const now = this.#wheel.now;
    const pieces = this.#news.take(message);
    for (let at = start[end]!; at < start[end + 1]!; at++) {
      const to = other[at]!;
      // Who has everything has no use for it, and would only cost time.
      if (this.#doneMs[to]! > 0) continue;
      const core = this.#nodes[to] ?? this.#seeds[to - this.#scenario.nodes]!;
      core.peerHasAll(back[at]!, BLOB, pieces, now);
      core.peerSlots(back[at]!, slots >> 8, slots & 0xff, undefined, now);
      this.#act(to);
    }
  }

  #ask(end: number, link: number, piece: number, request: number): void {
    const from = this.#topology.other[this.#topology.start[end]! + link]!;
    const flow = this.#flows.open(from, end, this.#bytesOf(piece));
    this.#flow[flow] ??= { request, piece, link, generation: 0, running: false };
    const info = this.#flow[flow];
    info.request = request;
    info.piece = piece;
    info.link = link;
    info.running = false;
    this.#flowOf[end]![request] = flow;
    const soon = this.#wheel.now + this.#scenario.latencyMs;
    this.#wheel.add(soon, Happens.request, flow, info.generation, 0, 0);
  }

  /** The link between both ends of a flow, as the sender knows it. */
  #linkOfSender(flow: number): number {
    return this.#topology.back[this.#topology.start[this.#flows.to[flow]!]! + this.#flow[flow]!.link]!;
  }

  /** A request is there. */
  #admit(flow: number): void {
    const from = this.#flows.from[flow]!;
    const info = this.#flow[flow]!;
    const core = this.#nodes[from] ?? this.#seeds[from - this.#scenario.nodes]!;
    if (core.admit(this.#linkOfSender(flow), BLOB, info.piece, this.#wheel.now)) {
      info.running = true;
      this.#flows.start(flow);
    } else {
      const soon = this.#wheel.now + this.#scenario.latencyMs;
      this.#wheel.add(
        soon,
        Happens.busy,
        flow,
        info.generation,
        this.#slots(from, this.#linkOfSender(flow)),
        0,
      );
    }
    this.#act(from);
  }

  #refused(flow: number, slots: number): void {
    const end = this.#flows.to[flow]!;
    const { request, link } = this.#flow[flow]!;
    this.#release(flow);
    this.#nodes[end]!.failed(request, 'busy', this.#wheel.now);
    this.#act(end);
    this.#tellSlots(end, link, slots, undefined);
  }

  /** The sender has sent everything: its slot is free, while the last byte is on its way. */
  #sent(flow: number): void {
    const info = this.#flow[flow]!;
    info.running = false;
    this.#sentBytes[this.#flows.from[flow]!]! += this.#bytesOf(info.piece);
    this.#wheel.add(this.#wheel.now + this.#scenario.latencyMs, Happens.arrived, flow, info.generation, 0, 0);
    this.#uploaded(flow);
  }

  #uploaded(flow: number): void {
    const from = this.#flows.from[flow]!;
    const core = this.#nodes[from] ?? this.#seeds[from - this.#scenario.nodes]!;
    const first = core.actions.length;
    core.uploaded(this.#linkOfSender(flow), this.#wheel.now);
    this.#act(from, first);
  }

  #arrive(flow: number): void {
    const end = this.#flows.to[flow]!;
    const { request } = this.#flow[flow]!;
    this.#release(flow);
    this.#nodes[end]!.received(request, this.#wheel.now);
    this.#act(end);
  }

  #cancel(end: number, request: number): void {
    const flow = this.#flowOf[end]![request]!;
    if (this.#flow[flow]!.running) {
      this.#flows.stop(flow);
      this.#uploaded(flow);
    }
    this.#release(flow);
  }

  #release(flow: number): void {
    this.#flow[flow]!.generation++;
    this.#flows.release(flow);
  }

  #tick(group: number): void {
    const { nodes, seeds } = this.#scenario;
    const now = this.#wheel.now;
    this.#wheel.add(now + TICK_MS, Happens.tick, group, 0, 0, 0);
    for (let end = group; end < nodes + seeds; end += TICK_GROUPS) {
      const node = this.#nodes[end];
      if (node === undefined) {
        this.#seeds[end - nodes]!.tick(now);
      } else if (node.held(BLOB) < this.#pieces || node.uploading < 4) {
        for (const flow of this.#flows.into(end)) node.progressed(this.#flow[flow]!.request, now);
        node.tick(now);
      }
      this.#act(end);
    }
  }
}
