import type { Clock } from '../lib/runtime/clock.ts';
import type { BlobAnnouncement } from '../lib/wire/control-messages.ts';

/** Blobs that are answered at once in one turn of the event loop; what comes beyond that waits. */
const BLOBS_AT_ONCE = 200;
/** Blobs that waited and are answered before the sockets have their next turn: a few milliseconds. */
const BLOBS_A_SLICE = 600;

/** A connection that announces. */
export interface Announcer {
  /** Whether the tracker has not heard from it of this blob, and it lacks the blob. */
  isNew(announcement: BlobAnnouncement): boolean;
  /** Announces the blobs and sends the answers in one message. */
  answer(blobs: readonly BlobAnnouncement[]): void;
}

/**
 * The order in which a crowd is answered. Who comes alone gets all at once. In a crowd each newcomer first gets the
 * first blob of its message: its client waits for that one, and the neighbours found for it share the other layers of
 * the image too. That is a message more for each, and still better than whole answers: those make the line for everybody
 * half as long again (the image of 12 layers in bench/report). Everything else waits in line, and is worked off in slices, so that neither heartbeats nor newcomers
 * wait for it.
 */
export class AnnounceQueue {
  readonly #clock: Clock;
  /** In order of their first waiting blob. */
  readonly #waiting = new Map<Announcer, BlobAnnouncement[]>();
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
    if (first >= 0) from.answer(rest.splice(first, 1));
    if (rest.length > 0) this.#waiting.set(from, rest);
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
  }

  #wakeSoon(): void {
    this.#cancel ??= this.#clock.after(0, () => this.#work());
  }

  #work(): void {
    this.#cancel = undefined;
    this.#left = BLOBS_AT_ONCE;
    let done = 0;
    for (const [from, blobs] of this.#waiting) {
      this.#waiting.delete(from);
      from.answer(blobs);
      done += blobs.length;
      if (done >= BLOBS_A_SLICE) break;
    }
    if (this.#waiting.size > 0) this.#wakeSoon();
  }
}
