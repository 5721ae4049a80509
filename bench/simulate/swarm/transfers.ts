import { DEFAULT_PEER_CORE_OPTIONS } from '../../../lib/swarm/peer-core-options.ts';
import { Happens, packSlots } from './events.ts';
import type { World } from './world.ts';

/** How long a sender waits for a receiver that takes nothing: as long as a receiver waits for a byte. */
const UPLOAD_STALL_MS = DEFAULT_PEER_CORE_OPTIONS.suspectMs;

/** A slot of an end for one of its neighbours. */
export interface Upload {
  readonly end: number;
  readonly link: number;
}

const INITIAL_FLOWS = 1 << 10;
/** Numbers kept for each transfer, side by side because they are used together. */
const SIZE = 8;
const STATE = 0;
/** Counts uses of the flow's number, so that events for an earlier one are known. */
const GENERATION = 1;
const REQUEST = 2;
const BLOB = 3;
const PIECE = 4;
/** The sender's number at the receiver. */
const LINK = 5;
/** When bytes began to flow, milliseconds. */
const STARTED_AT = 6;

/** What becomes of a transfer. */
const State = { free: 0, asked: 1, running: 2, over: 3 } as const;

/** Pieces on their way between neighbours, from the request to the disk. A transfer and its flow share one number. */
export class Transfers {
  readonly #world: World;
  readonly #act: (end: number) => void;
  readonly #distrust: (end: number, link: number) => void;
  /** Flow -> its fields. */
  #of = new Int32Array(INITIAL_FLOWS * SIZE);
  /** Node -> when the thread that checks pieces has done what it got so far, milliseconds. */
  readonly #busyUntil: Float64Array;

  /**
   * @param act carries out what the core of that end decided
   * @param distrust the other side of a link has sent wrong bytes
   */
  constructor(world: World, act: (end: number) => void, distrust: (end: number, link: number) => void) {
    this.#world = world;
    this.#act = act;
    this.#distrust = distrust;
    this.#busyUntil = new Float64Array(world.scenario.nodes);
  }

  /** A node's core decided to ask for a piece. */
  ask(end: number, link: number, blob: number, piece: number, request: number): void {
    const { flows, links, wheel } = this.#world;
    const from = links.other(end, link);
    const flow = flows.open(from, end, this.#world.bytesOf(blob, piece));
    const at = flow * SIZE;
    if (at >= this.#of.length) this.#grow(at);
    const of = this.#of;
    of[at + STATE] = State.asked;
    of[at + REQUEST] = request;
    of[at + BLOB] = blob;
    of[at + PIECE] = piece;
    of[at + LINK] = link;
    const generation = ++of[at + GENERATION]!;
    const soon = wheel.now + this.#world.latencyMs(from, end);
    wheel.add(soon, Happens.request, flow, generation, 0, 0);
  }

  /** Whether an event that was set for a transfer is still about it. */
  isCurrent(flow: number, generation: number): boolean {
    return this.#of[flow * SIZE + GENERATION] === generation;
  }

  /** The request is at its sender. */
  requested(flow: number): void {
    const world = this.#world;
    const from = world.flows.from[flow]!;
    const to = world.flows.to[flow]!;
    if (world.isDead(from)) return;
    const link = this.#linkOfSender(flow);
    const { now } = world.wheel;
    const core = world.core(from);
    if (core.admit(link, this.#of[flow * SIZE + BLOB]!, this.#of[flow * SIZE + PIECE]!, now)) {
      this.#of[flow * SIZE + STATE] = State.running;
      this.#of[flow * SIZE + STARTED_AT] = Math.floor(now);
      if (world.isDead(to)) this.#stalls(flow);
      else world.flows.start(flow);
    } else {
      const soon = now + world.latencyMs(from, to);
      world.wheel.add(
        soon,
        Happens.busy,
        flow,
        this.#of[flow * SIZE + GENERATION]!,
        freeSlots(core, link),
        0,
      );
    }
    this.#act(from);
  }

  /** The sender had no slot. */
  refused(flow: number, slots: number): void {
    const world = this.#world;
    const to = world.flows.to[flow]!;
    if (world.isDead(to)) return;
    const link = this.#of[flow * SIZE + LINK]!;
    this.#release(flow);
    world.node(to).failed(this.#of[flow * SIZE + REQUEST]!, 'busy', world.wheel.now);
    this.#act(to);
    world.hearSlots(to, link, slots);
    this.#act(to);
  }

  /** The sender has sent everything: its slot is free, while the last byte is on its way. */
  sent(flow: number): void {
    const { flows, tally, wheel } = this.#world;
    const from = flows.from[flow]!;
    const to = flows.to[flow]!;
    this.#of[flow * SIZE + STATE] = State.over;
    tally.sent(from, to, this.#world.bytesOf(this.#of[flow * SIZE + BLOB]!, this.#of[flow * SIZE + PIECE]!));
    const soon = wheel.now + this.#world.latencyMs(from, to);
    wheel.add(soon, Happens.arrived, flow, this.#of[flow * SIZE + GENERATION]!, 0, 0);
    this.#world.core(from).uploaded(this.#linkOfSender(flow), wheel.now);
    this.#act(from);
  }

  /** The last byte is here; the piece counts once the CPU has checked and stored it. */
  arrived(flow: number): void {
    const { flows, scenario, wheel } = this.#world;
    const end = flows.to[flow]!;
    if (this.#world.isDead(end)) return;
    const megabytes = this.#megabytes(flow);
    const { check, write } = scenario.profile.cpuSecondsPerGB;
    if (check + write === 0) {
      this.stored(flow);
      return;
    }
    const checkedAt = Math.max(wheel.now, this.#busyUntil[end]!) + megabytes * check;
    const storedAt = checkedAt + megabytes * write;
    this.#busyUntil[end] = checkedAt;
    this.#world.node(end).arrived(this.#of[flow * SIZE + REQUEST]!, wheel.now);
    wheel.add(storedAt, Happens.stored, flow, this.#of[flow * SIZE + GENERATION]!, 0, 0);
    this.#act(end);
  }

  /** The piece is checked and stored. */
  stored(flow: number): void {
    const { flows, population, scenario, tally, wheel } = this.#world;
    const end = flows.to[flow]!;
    if (this.#world.isDead(end)) return;
    const request = this.#of[flow * SIZE + REQUEST]!;
    const node = this.#world.node(end);
    const link = this.#of[flow * SIZE + LINK]!;
    const from = flows.from[flow]!;
    const [blob, piece] = [this.#of[flow * SIZE + BLOB]!, this.#of[flow * SIZE + PIECE]!];
    const lied = population.isLiar(from);
    if (!lied) {
      const digestMs = this.#megabytes(flow) * scenario.profile.cpuSecondsPerGB.digest;
      this.#busyUntil[end] = Math.max(wheel.now, this.#busyUntil[end]!) + digestMs;
    }
    this.#release(flow);
    if (lied) {
      tally.piecesRejected++;
      node.failed(request, 'corrupt', wheel.now);
    } else {
      this.#world.came(end, blob, piece, from);
      node.received(request, wheel.now);
    }
    this.#act(end);
    tally.hashed(end, this.#busyUntil[end]!);
    if (!lied) return;
    tally.bans++;
    this.#distrust(end, link);
  }

  /** A receiver has taken nothing for too long. */
  uploadStalls(flow: number): void {
    if (this.#of[flow * SIZE + STATE] !== State.running) return;
    this.#of[flow * SIZE + STATE] = State.over;
    const from = this.#world.flows.from[flow]!;
    if (this.#world.isDead(from)) return;
    this.#world.core(from).uploaded(this.#linkOfSender(flow), this.#world.wheel.now);
    this.#act(from);
  }

  /** The receiver's core gives up a request. @returns what {@link uploadEnded} must be told then, if anything */
  cancel(end: number, request: number): Upload | undefined {
    const { flows } = this.#world;
    for (let flow = 0; flow * SIZE < this.#of.length; flow++) {
      if (
        this.#of[flow * SIZE + STATE] === State.free ||
        flows.to[flow] !== end ||
        this.#of[flow * SIZE + REQUEST] !== request
      ) {
        continue;
      }
      const running = this.#of[flow * SIZE + STATE] === State.running;
      const upload = { end: flows.from[flow]!, link: this.#linkOfSender(flow) };
      if (running) flows.stop(flow);
      this.#release(flow);
      return running && !this.#world.isDead(upload.end) ? upload : undefined;
    }
    return undefined;
  }

  /** The sender notices that an upload was cancelled. */
  uploadEnded({ end, link }: Upload): void {
    this.#world.core(end).uploaded(link, this.#world.wheel.now);
    this.#act(end);
  }

  /** Bytes came for all running transfers to that node. @param olderThanMs younger ones need not be told yet */
  progress(end: number, olderThanMs: number): void {
    const { flows, wheel } = this.#world;
    for (const flow of flows.into(end)) {
      if (
        this.#of[flow * SIZE + STATE] !== State.running ||
        wheel.now - this.#of[flow * SIZE + STARTED_AT]! < olderThanMs
      ) {
        continue;
      }
      this.#world.node(end).progressed(this.#of[flow * SIZE + REQUEST]!, wheel.now);
    }
  }

  /** An end died: nothing moves from it and to it any more. */
  end(end: number): void {
    const { flows } = this.#world;
    for (const flow of [...flows.outOf(end), ...flows.into(end)]) {
      flows.stop(flow);
      // Its receiver finds out later, and must not stop it again then.
      if (flows.from[flow] === end) this.#of[flow * SIZE + STATE] = State.over;
      else if (this.#of[flow * SIZE + STATE] === State.running) this.#stalls(flow);
    }
  }

  /** A link is broken: what runs over it ends, and both cores count its slots as free themselves. */
  cut(a: number, b: number): void {
    const { flows } = this.#world;
    for (const flow of [...flows.into(a), ...flows.into(b)]) {
      if (flows.from[flow] !== a && flows.from[flow] !== b) continue;
      flows.stop(flow);
      this.#of[flow * SIZE + STATE] = State.over;
    }
  }

  /** Length of its piece, 1e6 bytes. */
  #megabytes(flow: number): number {
    return this.#world.bytesOf(this.#of[flow * SIZE + BLOB]!, this.#of[flow * SIZE + PIECE]!) / 1e6;
  }

  #stalls(flow: number): void {
    const { wheel } = this.#world;
    wheel.add(
      wheel.now + UPLOAD_STALL_MS,
      Happens.uploadStalls,
      flow,
      this.#of[flow * SIZE + GENERATION]!,
      0,
      0,
    );
  }

  /** The link between both ends of a transfer, as the sender knows it. */
  #linkOfSender(flow: number): number {
    return this.#world.links.back(this.#world.flows.to[flow]!, this.#of[flow * SIZE + LINK]!);
  }

  #grow(atLeast: number): void {
    const of = new Int32Array(Math.max(atLeast + SIZE, this.#of.length * 2));
    of.set(this.#of);
    this.#of = of;
  }

  #release(flow: number): void {
    this.#of[flow * SIZE + STATE] = State.free;
    this.#of[flow * SIZE + GENERATION]!++;
    this.#world.flows.release(flow);
  }
}

/** What a message of that core to a neighbour tells of its slots; `link` = -1 when it goes to everyone. */
export function freeSlots(core: World['nodes'][number] | World['seeds'][number], link: number): number {
  return 'freeDownloads' in core
    ? packSlots(core.freeUploadsFor(link), core.freeDownloads)
    : packSlots(core.freeSlots, 0);
}
