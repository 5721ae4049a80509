import { Action } from '../../../lib/swarm/actions.ts';
import { blobOf, Happens, packPiece, packSlots, pieceOf } from './events.ts';
import { News } from './news.ts';
import { freeSlots, type Upload } from './transfers.ts';
import type { World } from './world.ts';

const EVERYONE = -1;
/** Who hears a broadcast: with several zones those of other zones hear it later. */
const Hearers = { all: 0, near: 1, far: 2 } as const;

/** What is done for a core beyond messages. */
export interface Deeds {
  ask(end: number, link: number, blob: number, piece: number, request: number): void;
  cancel(end: number, request: number): Upload | undefined;
  uploadEnded(upload: Upload): void;
  /** The node has all pieces of the blob. */
  complete(node: number, blob: number): void;
}

/** Carries out what cores decide, and what their messages to each other do. */
export class Talk {
  readonly #world: World;
  readonly #deeds: Deeds;
  readonly #news: News;
  /** Node -> when it last told its neighbours what it has got, milliseconds. */
  readonly #toldAt: Float64Array;
  /** Node -> 1 when it has a free download slot: news may make it ask for something. */
  readonly #open: Uint8Array;

  constructor(world: World, deeds: Deeds) {
    this.#world = world;
    this.#deeds = deeds;
    this.#news = new News(world.scenario.nodes);
    this.#toldAt = new Float64Array(world.scenario.nodes).fill(Number.NEGATIVE_INFINITY);
    this.#open = new Uint8Array(world.scenario.nodes).fill(1);
  }

  /** Carries out what the core of that end decided. */
  act(end: number): void {
    const { actions } = this.#world;
    const isSeed = this.#world.isSeed(end);
    let ended: Upload[] | undefined;
    for (let i = 0; i < actions.length; i++) {
      const link = actions.peer[i]!;
      const blob = actions.blob[i]!;
      const piece = actions.piece[i]!;
      switch (actions.kind[i]) {
        case Action.request:
          this.#deeds.ask(end, link, blob, piece, actions.request[i]!);
          break;
        case Action.cancel:
          ended = this.#cancel(end, actions.request[i]!, ended);
          break;
        case Action.have:
          this.#gained(end, blob, piece);
          break;
        case Action.slots:
          this.#sendSlots(end, link, false);
          break;
        case Action.hungry:
          this.#sendSlots(end, link, true);
          break;
        default: {
          const kind = isSeed ? Happens.offer : Happens.decline;
          this.#send(end, link, kind, packPiece(blob, piece));
        }
      }
    }
    actions.clear();
    if (!isSeed) this.#open[end] = this.#world.nodes[end]!.freeDownloads > 0 ? 1 : 0;
    // A cancelled upload is an event for another core, which writes its own actions.
    if (ended !== undefined) for (const upload of ended) this.#deeds.uploadEnded(upload);
  }

  #cancel(end: number, request: number, ended: Upload[] | undefined): Upload[] | undefined {
    const upload = this.#deeds.cancel(end, request);
    return upload === undefined ? ended : [...(ended ?? []), upload];
  }

  #gained(node: number, blob: number, piece: number): void {
    const { scenario, tally, wheel } = this.#world;
    tally.gained(node, blob, piece, wheel.now);
    if (this.#news.add(node, packPiece(blob, piece))) {
      const dueAt = Math.max(wheel.now, this.#toldAt[node]! + scenario.profile.haveDelayMs);
      wheel.add(dueAt, Happens.haveDue, node, 0, 0, 0);
    }
    if (this.#world.nodes[node]!.held(blob) === scenario.blobs[blob]!.pieces) {
      this.#deeds.complete(node, blob);
    }
  }

  #sendSlots(end: number, link: number, hungry: boolean): void {
    const other = this.#world.links.other(end, link);
    if (other < 0) return;
    const { links, wheel } = this.#world;
    const soon = wheel.now + this.#world.hintMs(end, other);
    const slots = freeSlots(this.#coreOf(end), link);
    wheel.add(soon, Happens.slots, other, links.back(end, link), slots, hungry ? 1 : 0);
  }

  #send(end: number, link: number, kind: number, packed: number): void {
    const { links, wheel } = this.#world;
    const other = links.other(end, link);
    if (other < 0) return;
    const soon = wheel.now + this.#world.hintMs(end, other);
    wheel.add(soon, kind, other, links.back(end, link), packed, freeSlots(this.#coreOf(end), link));
  }

  /** Without reading its inbox: for what does not depend on that. */
  #coreOf(end: number): World['nodes'][number] | World['seeds'][number] {
    const { nodes } = this.#world.scenario;
    return end < nodes ? this.#world.nodes[end]! : this.#world.seeds[end - nodes]!;
  }

  heardSlots(end: number, link: number, slots: number, hungry: boolean | undefined): void {
    if (this.#world.isDead(end)) return;
    this.#world.hearSlots(end, link, slots, hungry);
    this.act(end);
  }

  heardOffer(node: number, link: number, packed: number, slots: number): void {
    if (this.#world.isDead(node)) return;
    const core = this.#world.node(node);
    const { now } = this.#world.wheel;
    this.#world.hearSlots(node, link, slots);
    core.offered(link, blobOf(packed), pieceOf(packed), now);
    this.act(node);
  }

  heardDecline(end: number, link: number, packed: number, slots: number): void {
    if (this.#world.isDead(end)) return;
    const seed = this.#world.seeds[end - this.#world.scenario.nodes]!;
    const { now } = this.#world.wheel;
    this.#world.hearSlots(end, link, slots);
    seed.declined(link, blobOf(packed), pieceOf(packed), now);
    this.act(end);
  }

  /** Time to tell all neighbours what the node has got. */
  haveDue(node: number): void {
    if (this.#world.isDead(node)) return;
    const { scenario, wheel } = this.#world;
    const message = this.#news.send(node);
    this.#toldAt[node] = wheel.now;
    const slots = packSlots(
      this.#world.nodes[node]!.freeUploadsFor(EVERYONE),
      this.#world.nodes[node]!.freeDownloads,
    );
    const near = wheel.now + scenario.latencyMs;
    if (scenario.zones === 1) wheel.add(near, Happens.have, node, message, slots, Hearers.all);
    else {
      wheel.add(near, Happens.have, node, message, slots, Hearers.near);
      const far = wheel.now + Math.max(scenario.latencyMs, scenario.zoneLatencyMs);
      wheel.add(far, Happens.have, node, message, slots, Hearers.far);
    }
  }

  /** Neighbours hear which pieces the node has got. */
  heardHave(from: number, message: number, slots: number, hearers: number): void {
    const world = this.#world;
    const { links, tally } = world;
    const { nodes, zones } = world.scenario;
    const news = this.#news.read(message);
    const count = links.count(from);
    for (let link = 0; link < count; link++) {
      const to = links.other(from, link);
      if (to < 0 || world.isDead(to)) continue;
      if (
        hearers !== Hearers.all &&
        (from % zones === (to < nodes ? to : to - nodes) % zones) !== (hearers === Hearers.near)
      ) {
        continue;
      }
      // Who has everything has no use for it, and would only cost time.
      if (to < nodes && tally.missing[to] === 0) continue;
      const back = links.back(from, link);
      const told = links.told(from, link);
      if (to >= nodes || this.#open[to] === 1 || told === 1 || slots >> 8 > 0) {
        this.#tell(to, back, news, slots);
      } else {
        for (let i = 1; i < news.length; i++) if (world.inbox.add(to, back, news[i]!)) world.node(to);
      }
    }
    if (hearers !== Hearers.near) this.#news.forget(message);
  }

  #tell(end: number, link: number, news: readonly number[], slots: number): void {
    const core = this.#world.core(end);
    const { now } = this.#world.wheel;
    for (let i = 1; i < news.length; i++) core.peerHas(link, blobOf(news[i]!), pieceOf(news[i]!), now);
    this.#world.hearSlots(end, link, slots);
    this.act(end);
  }
}
