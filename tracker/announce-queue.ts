import type { Clock } from '../lib/runtime/clock.ts';
import { ANSWERED_AT_ONCE } from '../lib/swarm/joining.ts';
import type { BlobAnnouncement } from '../lib/wire/control-messages.ts';

/** Blobs that are answered at once in one turn of the event loop; what comes beyond that waits. */
const BLOBS_AT_ONCE = 200;
/** Blobs that waited and are answered before the sockets have their next turn: a few milliseconds. */
const BLOBS_A_SLICE = 600;

/** A connection that announces. */
export interface Announcer {
  /** Whether the tracker has not heard from it of this blob, and it lacks the blob. */
  isNew(announcement: BlobAnnouncement): boolean;
  /** The tracker may send others to it for that blob, before it is answered. @returns whether it ever does */
  enter(announcement: BlobAnnouncement): boolean;
  /** Announces the blobs and sends the answers in one message. */
  answer(blobs: readonly BlobAnnouncement[]): void;
}

/**
 * The order in which a crowd is answered. Who comes alone gets all at once. Of a crowd's newcomers that announce several
 * blobs most are only entered: whoever is answered meanwhile, at least one in {@link ANSWERED_AT_ONCE}, is sent to them.
 * Those few are told of the first blob of their message: neighbours found for it share the other layers of the image
 * too. The newcomers that were only entered get their whole answer next, the last one first, since the fewest have been
 * sent to it. Everything else waits in line, and all is worked off in slices, so that neither heartbeats nor newcomers
 * wait for it. (Simulated, 5,000 nodes with an image of 12 layers: the last one is done after 1.079 of the limit, and
 * after 1.108 when each has its first blob answered at once.)
 */
export class AnnounceQueue {
  readonly #clock: Clock;
  /** In order of their first waiting blob. */
  readonly #waiting = new Map<Announcer, BlobAnnouncement[]>();
  /** Those of them that were only entered, and some that do not wait any more. */
  readonly #entered: Announcer[] = [];
  /** Newcomers that came while others waited. */
  #crowd = 0;
  #left = BLOBS_AT_ONCE;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(from: Announcer, blobs: readonly BlobAnnouncement[]): void {
    this.#wakeSoon();
    const waiting = this.#waiting.get(from);
    if (waiting !== undefined) {
      waiting.push(...blobs);
      return;
    }
    if (this.#waiting.size === 0 && blobs.length <= this.#left) {
      this.#left -= blobs.length;
      from.answer(blobs);
      return;
    }
    const rest = [...blobs];
    const first = rest.findIndex((blob) => from.isNew(blob));
    if (first >= 0 && !this.#enters(from, rest, first)) from.answer(rest.splice(first, 1));
    if (rest.length > 0) this.#waiting.set(from, rest);
  }

  /** @returns whether the newcomer can wait for its first blob too */
  #enters(from: Announcer, blobs: readonly BlobAnnouncement[], first: number): boolean {
    if (blobs.length === 1 || !from.enter(blobs[first]!)) return false;
    if (this.#crowd++ % ANSWERED_AT_ONCE === 0) return false;
    this.#entered.push(from);
    return true;
  }

  /** Answers now what waits: something that must not overtake it is to follow. */
  flush(from: Announcer): void {
    const waiting = this.#waiting.get(from);
    if (waiting === undefined) return;
    this.#waiting.delete(from);
    from.answer(waiting);
  }

  /** The connection is gone. */
  forget(from: Announcer): void {
    this.#waiting.delete(from);
  }

  close(): void {
    this.#cancel?.();
    this.#waiting.clear();
    this.#entered.length = 0;
  }

  /** @returns how many blobs waited */
  #answer(from: Announcer): number {
    const blobs = this.#waiting.get(from) ?? [];
    this.flush(from);
    return blobs.length;
  }

  #wakeSoon(): void {
    this.#cancel ??= this.#clock.after(0, () => this.#work());
  }

  #work(): void {
    this.#cancel = undefined;
    this.#left = BLOBS_AT_ONCE;
    let done = 0;
    while (done < BLOBS_A_SLICE && this.#entered.length > 0) done += this.#answer(this.#entered.pop()!);
    for (const from of this.#waiting.keys()) {
      if (done >= BLOBS_A_SLICE) break;
      done += this.#answer(from);
    }
    if (this.#waiting.size > 0) this.#wakeSoon();
    else this.#entered.length = 0;
  }
}
