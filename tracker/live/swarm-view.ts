import type { Role } from '../../lib/core/node.ts';
import type { LiveMessage, LiveSwarm } from './live-messages.ts';

export type Have = LiveMessage['have'][number];

interface Share {
  readonly role: Role;
  percent: number;
  readers: number;
}

const NOTHING = { percent: 0, readers: 0 } as const;

/** One blob and how far each member is with it. */
export class SwarmView {
  readonly n: number;
  readonly digest: string;
  readonly #size: number;
  /** Of the blob, as a member told. */
  pieces = 0;
  readonly #shares = new Map<number, Share>();
  readonly #changed = new Set<number>();
  #known = false;

  constructor(n: number, digest: string, size: number) {
    this.n = n;
    this.digest = digest;
    this.#size = size;
  }

  get sharers(): number {
    return this.#shares.size;
  }

  /** Whether pages have been told of it. */
  get isKnown(): boolean {
    return this.#known;
  }

  set(member: number, role: Role, held: number, readers: number): void {
    // A member that lacks a piece is not at 100 %.
    const percent = this.pieces === 0 ? 100 : Math.floor((100 * Math.min(held, this.pieces)) / this.pieces);
    this.#shares.set(member, { role, percent, readers });
    this.#changed.add(member);
  }

  delete(member: number): void {
    if (this.#shares.delete(member)) this.#changed.add(member);
  }

  of(member: number): { readonly percent: number; readonly readers: number } {
    return this.#shares.get(member) ?? NOTHING;
  }

  have(): Have[] {
    return [...this.#shares].map(([member, { percent, readers }]) => [this.n, member, percent, readers]);
  }

  takeChanges(): { readonly swarm: LiveSwarm; readonly have: readonly Have[] } | undefined {
    if (this.#changed.size === 0 && this.#known) return undefined;
    const have = [...this.#changed].map((member): Have => {
      const share = this.#shares.get(member);
      return [this.n, member, share?.percent ?? -1, share?.readers ?? 0];
    });
    const swarm = this.live(!this.#known);
    this.#changed.clear();
    this.#known = true;
    return { swarm, have };
  }

  live(whole: boolean): LiveSwarm {
    let complete = 0;
    let reading = 0;
    let nodes = 0;
    let sum = 0;
    for (const { percent, readers, role } of this.#shares.values()) {
      if (percent === 100) complete++;
      if (role !== 'node') continue;
      nodes++;
      sum += percent;
      if (readers > 0) reading++;
    }
    const about = whole ? { digest: this.digest, size: this.#size } : {};
    const percent = nodes === 0 ? 0 : Math.floor(sum / nodes);
    return { n: this.n, ...about, sharers: this.#shares.size, complete, reading, percent };
  }
}
