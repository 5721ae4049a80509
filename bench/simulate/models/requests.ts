import type { Rng } from '../../../lib/runtime/rng.ts';
import type { FluidLinks } from '../physics/fluid-links.ts';
import type { TimingWheel } from '../physics/wheel.ts';
import type { Scenario } from '../scenario.ts';
import type { Link } from './overlay.ts';
import type { PieceBook } from './piece-book.ts';
import type { Tally } from './tally.ts';
import { latencyBetween } from './ways.ts';

/** Neighbours that a node has asked for something at a time, and pieces asked of each. */
const MOST_ASKED = 10;
const PIPELINE = 3;

interface RequestsDeps {
  readonly scenario: Scenario;
  readonly wheel: TimingWheel;
  readonly flows: FluidLinks;
  readonly book: PieceBook;
  readonly tally: Tally;
  readonly rng: Rng;
  /** Piece -> bytes. */
  readonly bytesOf: readonly number[];
  readonly isDead: (end: number) => boolean;
  /** Events that are set: flow, generation. */
  readonly kinds: { readonly asked: number; readonly arrived: number };
}

/** What a flow is for. */
interface Request {
  readonly link: Link;
  readonly piece: number;
  /** Counts the requests that had the number of this flow: events of earlier ones mean nothing. */
  readonly generation: number;
  running: boolean;
}

/** Pieces that nodes have asked for, blind to the load of those whom they ask. */
export class Requests {
  readonly #deps: RequestsDeps;
  /** Flow -> its request, or its last one. */
  readonly #requests: Request[] = [];
  /** Node -> neighbours that it has asked for something. */
  readonly #asked: Int32Array;

  constructor(deps: RequestsDeps) {
    this.#deps = deps;
    this.#asked = new Int32Array(deps.scenario.nodes);
  }

  isCurrent(flow: number, generation: number): boolean {
    const request = this.#requests[flow]!;
    return request.generation === generation && request.link.flows.includes(flow);
  }

  /** Asks neighbours, from a random one on, for as much as the node may. */
  fill(node: number, links: readonly Link[]): void {
    const start = this.#deps.rng.int(links.length);
    for (let i = 0; i < links.length && this.#asked[node]! < MOST_ASKED; i++) {
      this.fillPipeline(links[(start + i) % links.length]!);
    }
  }

  /** Asks the neighbour for as many pieces as a node asks of one. */
  fillPipeline(link: Link): void {
    const { scenario, wheel, flows, book, rng, bytesOf, isDead, kinds } = this.#deps;
    const { end: node, peer } = link;
    if (link.banned || isDead(node)) return;
    while (link.flows.length < PIPELINE && (link.flows.length > 0 || this.#asked[node]! < MOST_ASKED)) {
      const piece = book.pick(node, peer, link.distance, rng);
      if (piece < 0) return;
      book.take(node, piece);
      if (link.flows.length === 0) this.#asked[node]!++;
      const flow = flows.open(peer, node, bytesOf[piece]!);
      const generation = (this.#requests[flow]?.generation ?? 0) + 1;
      this.#requests[flow] = { link, piece, generation, running: false };
      link.flows.push(flow);
      const at = wheel.now + latencyBetween(scenario, node, peer);
      wheel.add(at, kinds.asked, flow, generation, 0, 0);
    }
  }

  /** A request is there: whoever asks is served, unless the one who is asked is dead. */
  admit(flow: number, generation: number): void {
    const request = this.#requests[flow]!;
    if (!this.isCurrent(flow, generation) || this.#deps.isDead(request.link.peer)) return;
    request.running = true;
    this.#deps.flows.start(flow);
  }

  /** The flow has come to its end; the last byte is on its way. */
  sent(flow: number): void {
    const { scenario, wheel, tally, bytesOf, kinds } = this.#deps;
    const request = this.#requests[flow]!;
    const { end, peer } = request.link;
    request.running = false;
    tally.sent(peer, end, bytesOf[request.piece]!);
    const at = wheel.now + latencyBetween(scenario, peer, end);
    wheel.add(at, kinds.arrived, flow, request.generation, 0, 0);
  }

  /** The request is over, one way or the other. */
  close(flow: number): Pick<Request, 'link' | 'piece'> {
    this.halt(flow);
    const request = this.#requests[flow]!;
    const { flows, end } = request.link;
    flows.splice(flows.indexOf(flow), 1);
    if (flows.length === 0) this.#asked[end]!--;
    this.#deps.flows.release(flow);
    return request;
  }

  /** What was asked of the neighbour will not come: all of it is wanted again. */
  drop(link: Link): void {
    for (const flow of [...link.flows]) this.#deps.book.giveBack(link.end, this.close(flow).piece);
  }

  /** The sender sends no more of it, and whoever asked does not know. */
  halt(flow: number): void {
    const request = this.#requests[flow]!;
    if (!request.running) return;
    request.running = false;
    this.#deps.flows.stop(flow);
  }
}
