import type { Clock } from '../../runtime/clock.ts';
import type { Pace } from '../../runtime/rate-limit.ts';

/** While a client of this node is behind, an upload moves so much, so often: enough that nobody suspects us. */
const TRICKLE_BYTES = 64 * 1024;
const TRICKLE_MS = 50;
/** A client that does not ask for more within this time is slower than we are: it needs no precedence. */
const HUNGRY_MS = 10;

/** A client of this node, as far as its precedence goes. */
export interface LocalReader {
  /** It asks for bytes. */
  asks(): void;
  /** The bytes that it asked for have still to come from somewhere else. */
  waits(): void;
  /** It has got bytes. */
  got(): void;
  /** It reads no more. A second call is harmless. */
  leaves(): void;
}

/**
 * The pace of uploads that yield to the node's own clients. A client is behind while it could take bytes that are here
 * and has not got them yet: then uploads only trickle. A client that waits for the swarm is not behind, for its
 * neighbours are in the same position, and what each of them uploads is what the others wait for.
 */
export class LocalFirst implements Pace {
  readonly #clock: Clock;
  readonly #uploads: Pace;
  /** Readers that are behind -> until when, milliseconds. */
  readonly #behind = new Map<LocalReader, number>();
  readonly #yielding = new Set<() => void>();

  /** @param uploads the pace when no client is behind, and on top of that when one is */
  constructor(clock: Clock, uploads: Pace) {
    this.#clock = clock;
    this.#uploads = uploads;
  }

  reader(): LocalReader {
    const catchUp = (): void => {
      if (this.#behind.delete(reader) && this.#behind.size === 0) this.#goOn();
    };
    const reader: LocalReader = {
      asks: () => void this.#behind.set(reader, Number.POSITIVE_INFINITY),
      got: () => void this.#behind.set(reader, this.#clock.now() + HUNGRY_MS),
      waits: catchUp,
      leaves: catchUp,
    };
    return reader;
  }

  get quantumBytes(): number {
    const { quantumBytes } = this.#uploads;
    return this.#anyBehind() ? Math.min(TRICKLE_BYTES, quantumBytes) : quantumBytes;
  }

  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    return this.#anyBehind() ? this.#yield(bytes, signal) : this.#uploads.take(bytes, signal);
  }

  async #yield(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const goOn = (): void => {
        cancel();
        this.#yielding.delete(goOn);
        signal?.removeEventListener('abort', goOn);
        resolve();
      };
      const cancel = this.#clock.after(TRICKLE_MS, goOn);
      this.#yielding.add(goOn);
      signal?.addEventListener('abort', goOn, { once: true });
    });
    await this.#uploads.take(bytes, signal);
  }

  #goOn(): void {
    for (const goOn of [...this.#yielding]) goOn();
  }

  #anyBehind(): boolean {
    if (this.#behind.size === 0) return false;
    const now = this.#clock.now();
    for (const untilMs of this.#behind.values()) if (untilMs > now) return true;
    return false;
  }
}
