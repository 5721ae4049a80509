import type { Rng } from '../../lib/runtime/rng.ts';
import type { Scenario } from './scenario.ts';

/** Who is who in a scenario, drawn once: the order in which callers start, and which nodes are slow, doomed or liars. */
export class Population {
  /** Node -> when its caller asks, milliseconds. */
  readonly asksAt: Float64Array;
  readonly #fate: Uint8Array;

  constructor(scenario: Scenario, rng: Rng) {
    const { nodes, joinOverMs } = scenario;
    const order = shuffled(nodes, rng);
    this.asksAt = new Float64Array(nodes);
    order.forEach((node, at) => {
      this.asksAt[node] = (at / nodes) * joinOverMs;
    });
    this.#fate = new Uint8Array(nodes);
    this.#draw(SLOW, scenario.slow?.share ?? 0, rng);
    this.#draw(DOOMED, scenario.crash?.share ?? 0, rng);
    this.#draw(LIAR, scenario.poison ?? 0, rng);
  }

  isSlow(node: number): boolean {
    return (this.#fate[node]! & SLOW) !== 0;
  }

  /** Will die when the scenario's time for it has come. */
  isDoomed(node: number): boolean {
    return (this.#fate[node]! & DOOMED) !== 0;
  }

  /** Sends bytes that do not match their proofs. */
  isLiar(end: number): boolean {
    return (this.#fate[end] ?? 0) >= LIAR;
  }

  /** Neither slow, nor doomed, nor a liar: its time counts. */
  counts(node: number): boolean {
    return this.#fate[node] === 0;
  }

  #draw(fate: number, share: number, rng: Rng): void {
    const order = shuffled(this.#fate.length, rng);
    for (const node of order.subarray(0, Math.round(share * order.length))) this.#fate[node]! |= fate;
  }
}

const SLOW = 1;
const DOOMED = 2;
const LIAR = 4;

function shuffled(length: number, rng: Rng): Int32Array {
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}
