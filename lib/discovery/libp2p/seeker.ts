import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { Rng } from '../../runtime/rng.ts';
import { type BlobKey, MAX_KEYS, type MemberAnswer } from '../../wire/member-codec.ts';
import type { Dht, MemberId } from './dht.ts';

/** So long a search may take, milliseconds: a node waits no longer for an answer either. */
const SEEK_MS = 2000;
/** Providers that one search asks. */
const MAX_PROVIDERS = 16;
/** Members that are asked besides, whoever they are: in a small cluster they are all, and no record is needed. */
const NEAR = 8;
/** The layers of an image are sought together: each member is asked for all of them at once. */
const BATCH_MS = 5;

export interface SeekerDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly ask: (member: MemberId, keys: readonly BlobKey[]) => Promise<MemberAnswer | undefined>;
  /** Connected members. */
  readonly here: () => readonly MemberId[];
}

interface Batch {
  readonly keys: Set<BlobKey>;
  readonly answer: Promise<MemberAnswer | undefined>;
}

/** Finds members that share a blob: by records in the DHT, and by asking some of those that are connected. */
export class Seeker {
  readonly #deps: SeekerDeps;
  readonly #batches = new Map<MemberId, Batch>();
  readonly #ending = new AbortController();

  constructor(deps: SeekerDeps) {
    this.#deps = deps;
  }

  /** Calls `found` with each that says it shares the blob; resolves when nobody else is to be found in time. */
  async seek(dht: Dht, key: BlobKey, found: (answer: MemberAnswer) => void): Promise<void> {
    const { clock } = this.#deps;
    const asked = new Set<MemberId>();
    const answers: Promise<void>[] = [];
    const ask = (member: MemberId): void => {
      if (asked.has(member)) return;
      asked.add(member);
      const answered = this.#batch(member, key).then((answer) => {
        if (answer?.shares.includes(key) === true) found(answer);
      });
      answers.push(answered);
    };
    for (const member of this.#near()) ask(member);
    try {
      await withDeadline(clock, SEEK_MS, this.#ending.signal, async (signal) => {
        let providers = 0;
        for await (const member of dht.find(key, signal)) {
          ask(member);
          if (++providers >= MAX_PROVIDERS) break;
        }
      });
    } catch {
      // What was found in time is what there is.
    }
    await Promise.all(answers);
  }

  close(): void {
    this.#ending.abort();
  }

  #near(): MemberId[] {
    const { here, rng } = this.#deps;
    const all = [...here()];
    const near: MemberId[] = [];
    while (near.length < NEAR && all.length > 0) near.push(...all.splice(rng.int(all.length), 1));
    return near;
  }

  #batch(member: MemberId, key: BlobKey): Promise<MemberAnswer | undefined> {
    const open = this.#batches.get(member);
    if (open !== undefined && open.keys.size < MAX_KEYS) {
      open.keys.add(key);
      return open.answer;
    }
    const keys = new Set([key]);
    const { promise, resolve } = Promise.withResolvers<MemberAnswer | undefined>();
    const batch = { keys, answer: promise };
    this.#batches.set(member, batch);
    this.#deps.clock.after(BATCH_MS, () => {
      if (this.#batches.get(member) === batch) this.#batches.delete(member);
      resolve(this.#ending.signal.aborted ? undefined : this.#deps.ask(member, [...keys]));
    });
    return promise;
  }
}
