import { describeError, hasCode } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import { rendezvousRank } from '../../core/rendezvous.ts';
import { nearness } from '../../core/zones.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { CapabilityAnswer, CapabilityQuestion } from '../../wire/capability-codec.ts';
import { type CapabilityTransport, type SignOfLife, WORKING_EVERY_MS } from '../seams.ts';

export interface AskSupernodesDeps {
  readonly self: () => PeerInfo;
  readonly network: CapabilityTransport;
  readonly discovery: Pick<Discovery, 'reachable' | 'supernodes'>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
}

/** When one has not answered for so long, another one is asked beside it. */
const HEDGE_MS = 1_000;
const MOST_ASKED = 3;
/** In a crowd a supernode has thousands of handshakes to make: slow is not gone. */
const PATIENCE_MS = 20_000;
/** While no tracker says who lives: so long one has to show it. */
const UNVOUCHED_MS = 2_000;
/** Who has shown it lives for so long, as long as a link without a sign of life stays. */
const SEEN_MS = 5_000;
/** A process that works on a question, and can, says so within this. */
const SPEAKS_MS = WORKING_EVERY_MS + 500;
/**
 * A supernode that is busy, or could not be reached and lives for all that a tracker says, is asked again after about so long,
 * then after twice that, and so on.
 */
const AGAIN_MS = 500;
const MOST_PAUSE_MS = 8_000;
/** For so long one that was overtaken goes last, and one that is there and cannot answer is not asked. */
const SPARED_MS = 5_000;

/** What came of asking one of them. */
type One = CapabilityAnswer | 'no' | 'busy' | 'cannot' | 'unreached';

/** `late`: they live, and have not answered for all our patience. */
export type Said = CapabilityAnswer | 'no' | 'nobody' | 'late';

/**
 * Puts a node's questions for capabilities to supernodes. Each node begins with another one, so that a crowd that wants the
 * same blob asks all of them alike, and waits for those that live: a question that is given up and put anew has cost the
 * supernode a handshake for nothing.
 */
export class AskSupernodes {
  readonly #deps: AskSupernodesDeps;
  readonly #ending: AbortSignal;
  /** Until when, by id. */
  readonly #slow = new Map<string, number>();
  readonly #cannot = new Map<string, number>();
  /** When it last showed that it is there, by id. */
  readonly #seenMs = new Map<string, number>();
  /** When any of them last spoke. */
  #heardMs = Number.NEGATIVE_INFINITY;

  constructor(deps: AskSupernodesDeps, ending: AbortSignal) {
    this.#deps = deps;
    this.#ending = ending;
  }

  /** Whether one lives that has not lately failed to answer. */
  get somebodyThere(): boolean {
    const now = this.#deps.clock.now();
    return this.#deps.discovery.supernodes.some(({ id }) => (this.#cannot.get(id) ?? 0) <= now);
  }

  /** Whether one of them works on what was asked, however long it takes. */
  get somebodySpeaks(): boolean {
    return this.#deps.clock.now() - this.#heardMs < SPEAKS_MS;
  }

  /** A no is the registry's, and counts; `nobody`: none is there, or none of them can ask the registry. Never rejects. */
  async ask(question: CapabilityQuestion): Promise<Said> {
    const { clock } = this.#deps;
    const candidates = this.#candidates('renew' in question);
    if (candidates.length === 0 || this.#ending.aborted) return 'nobody';
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#ending]);
    return await new Promise((resolve) => {
      const stops = new Set<() => void>();
      const after = (ms: number, act: () => void): void => {
        const stop = clock.after(ms, () => {
          stops.delete(stop);
          act();
        });
        stops.add(stop);
      };
      let open = 0;
      const finish = (answer: Said): void => {
        for (const stop of stops) stop();
        resolve(answer);
        over.abort();
      };
      const put = (to: PeerInfo, tries = 0): void => {
        const startedMs = clock.now();
        void this.#one(to, question, signal).then((answer) => {
          if (over.signal.aborted) {
            if (clock.now() - startedMs >= HEDGE_MS) this.#slow.set(to.id, clock.now() + SPARED_MS);
          } else if (answer === 'busy' || (answer === 'unreached' && this.#lives(to))) {
            const pauseMs = Math.min(MOST_PAUSE_MS, AGAIN_MS * 2 ** tries) * (0.5 + this.#deps.rng.float());
            after(pauseMs, () => put(to, tries + 1));
          } else if (answer === 'cannot' || answer === 'unreached') {
            this.#cannot.set(to.id, clock.now() + SPARED_MS);
            open--;
            if (!askNext() && open === 0) finish('nobody');
          } else finish(answer);
        });
      };
      const askNext = (): boolean => {
        const next = candidates.shift();
        if (next === undefined) return false;
        open++;
        put(next);
        after(HEDGE_MS, askNext);
        return true;
      };
      // One that falls silent is gone when the tracker says so, and without a tracker when it shows nothing for too long.
      const asked = [...candidates];
      const askedMs = clock.now();
      const look = (): void => {
        const gone = !asked.some((each) => this.#lives(each));
        if (!gone || (!this.#deps.discovery.reachable && clock.now() - askedMs < UNVOUCHED_MS)) {
          after(AGAIN_MS, look);
          return;
        }
        finish('nobody');
      };
      after(AGAIN_MS, look);
      after(PATIENCE_MS, () => finish(asked.some((each) => this.#lives(each)) ? 'late' : 'nobody'));
      askNext();
    });
  }

  /** The nearest first, each node in an order of its own. @param all for a renewal none need reach the registry */
  #candidates(all: boolean): PeerInfo[] {
    const { clock, discovery, self } = this.#deps;
    const { id, zone } = self();
    const now = clock.now();
    const slow = (peer: PeerInfo): number => Number((this.#slow.get(peer.id) ?? 0) > now);
    const near = (peer: PeerInfo): number => nearness(peer.zone, zone) + Number(peer.zone === zone);
    return rendezvousRank(id, discovery.supernodes)
      .filter((peer) => all || (this.#cannot.get(peer.id) ?? 0) <= now)
      .sort((a, b) => slow(a) - slow(b) || near(b) - near(a))
      .slice(0, MOST_ASKED);
  }

  /** For all that a tracker says, which knows within seconds, or as we have seen for ourselves. */
  #lives({ id }: PeerInfo): boolean {
    const { clock, discovery } = this.#deps;
    if (discovery.reachable && discovery.supernodes.some((each) => each.id === id)) return true;
    return clock.now() - (this.#seenMs.get(id) ?? Number.NEGATIVE_INFINITY) < SEEN_MS;
  }

  #seen(id: string, sign: SignOfLife): void {
    const now = this.#deps.clock.now();
    this.#seenMs.set(id, now);
    if (sign === 'works') this.#heardMs = now;
  }

  async #one({ host, id, port }: PeerInfo, question: CapabilityQuestion, signal: AbortSignal): Promise<One> {
    const { log, network } = this.#deps;
    const onSign = (sign: SignOfLife): void => this.#seen(id, sign);
    try {
      return (await network.askCapability({ address: { host, port }, question }, { signal, onSign })) ?? 'no';
    } catch (error) {
      if (signal.aborted) return 'unreached';
      log.debug({ peer: id, error: describeError(error) }, 'no capability');
      if (hasCode(error, 'PEER_BUSY')) {
        this.#seen(id, 'works');
        return 'busy';
      }
      if (!hasCode(error, 'PEER_UNREACHABLE')) return 'cannot';
      this.#seenMs.delete(id);
      return 'unreached';
    }
  }
}
