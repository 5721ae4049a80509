import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { decodeSharer } from './shared-peer.ts';

/** Nodes of other trackers kept for one blob: a random graph needs some links across, not all of them. */
const MOST_PER_BLOB = 64;
/** A blob is looked at as soon as a node wants it, and again so long after each look, milliseconds. */
const LOOKS_MS = [1_000, 3_000, 10_000, 30_000];
/** Newcomers have it looked at again no sooner than this after the look before. */
const LEAST_PAUSE_MS = 500;

/** A blob that nodes of this tracker want. */
interface Interest {
  /** `<incarnation>/<peer id>`, as another tracker wrote it -> that peer. */
  readonly sharers: Map<string, string>;
  looks: number;
  lookedAtMs: number;
  /** When it is looked at next. */
  dueMs: number;
}

/** What a look at a blob brought. */
export interface Look {
  readonly digest: string;
  readonly gone: readonly string[];
  readonly sample: readonly (readonly [field: string, value: string])[];
}

/**
 * Nodes of other trackers in the swarms of this one: brings them into the core when nodes here want the same blob, and
 * takes them out when they are gone or nobody needs them. Time in milliseconds.
 */
export class RemoteSharers {
  readonly #core: TrackerCore;
  readonly #isConnected: (id: string) => boolean;
  readonly #interests = new Map<string, Interest>();
  readonly #due = new Set<string>();
  /** Node that is known from other trackers alone -> in how many blobs. */
  readonly #blobsOf = new Map<string, number>();

  constructor(core: TrackerCore, isConnected: (id: string) => boolean) {
    this.#core = core;
    this.#isConnected = isConnected;
  }

  /** Nodes that other trackers told of. */
  get nodes(): number {
    return this.#blobsOf.size;
  }

  /** A node here wants the blob. */
  want(digest: string, now: number): void {
    let interest = this.#interests.get(digest);
    if (interest === undefined) {
      interest = { sharers: new Map(), looks: 0, lookedAtMs: Number.NEGATIVE_INFINITY, dueMs: now };
      this.#interests.set(digest, interest);
    }
    interest.looks = 0;
    interest.dueMs = Math.min(interest.dueMs, Math.max(now, interest.lookedAtMs + LEAST_PAUSE_MS));
    this.#due.add(digest);
  }

  /** Blobs to look at now, at most so many, each with the sharers known of it. */
  due(now: number, most: number): { readonly digest: string; readonly known: readonly string[] }[] {
    const found: { digest: string; known: string[] }[] = [];
    for (const digest of this.#due) {
      const interest = this.#interests.get(digest);
      if (interest === undefined) this.#due.delete(digest);
      else if (interest.dueMs <= now) {
        found.push({ digest, known: [...interest.sharers.keys()] });
        const next = LOOKS_MS[interest.looks++];
        interest.lookedAtMs = now;
        interest.dueMs = now + (next ?? Number.POSITIVE_INFINITY);
        if (next === undefined) this.#due.delete(digest);
        if (found.length >= most) break;
      }
    }
    return found;
  }

  /**
   * Takes in what a look brought.
   * @param isLive whether that incarnation of another tracker lives
   * @returns whether nodes came that were not known
   */
  take({ digest, gone, sample }: Look, isLive: (incarnation: string) => boolean): boolean {
    const interest = this.#interests.get(digest);
    let news = false;
    if (interest === undefined) return news;
    for (const field of gone) this.#drop(digest, interest, field);
    for (const [field, value] of sample) {
      if (isLive(incarnationOf(field)) && this.#add(digest, interest, field, value)) news = true;
    }
    return news;
  }

  /** Only these incarnations of other trackers live: what others told is void. */
  keepOnly(isLive: (incarnation: string) => boolean): void {
    for (const [digest, interest] of this.#interests) {
      for (const field of [...interest.sharers.keys()]) {
        if (!isLive(incarnationOf(field))) this.#drop(digest, interest, field);
      }
    }
  }

  /** Forgets blobs that no node here wants any more. */
  sweep(): void {
    for (const [digest, interest] of this.#interests) {
      if (this.#isWanted(digest, interest)) continue;
      for (const field of [...interest.sharers.keys()]) this.#drop(digest, interest, field);
      this.#interests.delete(digest);
      this.#due.delete(digest);
    }
  }

  #isWanted(digest: string, { sharers }: Interest): boolean {
    const told = new Set(sharers.values());
    for (const { have, info } of this.#core.sharers(digest)) {
      if (have !== 'all' && !told.has(info.id)) return true;
    }
    return false;
  }

  /** @returns whether it was not known */
  #add(digest: string, interest: Interest, field: string, value: string): boolean {
    const told = decodeSharer(value);
    if (told === undefined) return false;
    const { have, info } = told;
    const known = interest.sharers.has(field);
    if (!known) {
      // Our own word on a node counts more.
      if (interest.sharers.size >= MOST_PER_BLOB || this.#core.shares(info.id, digest)) return false;
      interest.sharers.set(field, info.id);
      this.#blobsOf.set(info.id, (this.#blobsOf.get(info.id) ?? 0) + 1);
    }
    if (!this.#isConnected(info.id)) this.#core.join(info, 0);
    this.#core.note(info.id, digest, { have });
    return !known;
  }

  #drop(digest: string, interest: Interest, field: string): void {
    const id = interest.sharers.get(field);
    if (id === undefined) return;
    interest.sharers.delete(field);
    this.#core.unnote(id, digest);
    const left = (this.#blobsOf.get(id) ?? 1) - 1;
    if (left > 0) this.#blobsOf.set(id, left);
    else {
      this.#blobsOf.delete(id);
      if (!this.#isConnected(id)) this.#core.leave(id, 0);
    }
  }

  /** The node tells this tracker itself that it shares the blob: what others tell of it does not matter any more. */
  ours(digest: string, id: string): void {
    const interest = this.#interests.get(digest);
    if (interest === undefined || !this.#blobsOf.has(id)) return;
    for (const [field, peer] of interest.sharers) {
      if (peer !== id) continue;
      interest.sharers.delete(field);
      const left = (this.#blobsOf.get(id) ?? 1) - 1;
      if (left > 0) this.#blobsOf.set(id, left);
      else this.#blobsOf.delete(id);
    }
  }
}

function incarnationOf(field: string): string {
  return field.slice(0, field.indexOf('/'));
}
