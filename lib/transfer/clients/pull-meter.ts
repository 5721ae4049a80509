import type { PullLimit } from '../../observe/trace.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Limits } from '../limits.ts';

/** How fast bytes came to this node, from all and from registries alone. */
type SeenRates = Pick<Limits, 'download' | 'registry'>;

/**
 * How close one client's pull comes to the limit that physics set it: T* / T, in (0, 1].
 *
 * T is the time from the request to its last byte (so far). T* is the longest of what could not have been shorter:
 * - the bytes that were not here when the pull began, at the highest rate at which this node received blob bytes in any
 *   half second of the last ten minutes, this pull included, whatever blobs they were of;
 * - the bytes that this node itself read from a registry for the blob, at the highest such rate from registries;
 * - the time that the client took to take what it was given.
 *
 * Idle neighbours, waiting for pieces and registries, hashing and our disk make T longer, and T* not. What the node never
 * saw, such as a faster line than it ever used, it cannot know: the ratio is of what it has done before.
 */
export class PullMeter {
  readonly #clock: Clock;
  readonly #seen: SeenRates;
  readonly #startedMs: number;
  /** Bytes of the blob that this node read from a registry, now. */
  #fromRegistry = (): number => 0;
  #fromRegistryBefore = 0;
  #here = Number.POSITIVE_INFINITY;
  #sent = 0;
  #clientMs = 0;
  #handedMs = 0;

  constructor(clock: Clock, seen: SeenRates) {
    this.#clock = clock;
    this.#seen = seen;
    this.#startedMs = clock.now();
  }

  /** Not all of it is here. @param here bytes wanted that are; `fromRegistry` tells what we read of the blob ourselves */
  comesIn(here: number, fromRegistry: () => number): void {
    this.#here = here;
    this.#fromRegistry = fromRegistry;
    this.#fromRegistryBefore = fromRegistry();
  }

  /** The client has bytes to take. */
  handed(bytes: number): void {
    this.#sent += bytes;
    this.#handedMs = this.#clock.now();
  }

  /** It has taken them. */
  taken(): void {
    this.#clientMs += this.#clock.now() - this.#handedMs;
  }

  /** Of the pull as far as it is; 1 before anything happened. */
  get efficiency(): number {
    const { ms: limitMs } = this.limit;
    const tookMs = this.#clock.now() - this.#startedMs;
    return tookMs <= limitMs ? 1 : limitMs / tookMs;
  }

  /** Bytes that the client was given. */
  get sentBytes(): number {
    return this.#sent;
  }

  /** Time that the client took to take them. */
  get clientMs(): number {
    return this.#clientMs;
  }

  /** The longest of what could not have been shorter, and at which rate bytes came then. */
  get limit(): { readonly ms: number; readonly by: PullLimit; readonly bytesPerSecond: number } {
    const { download, registry } = this.#seen;
    const missing = Math.max(0, this.#sent - this.#here);
    const fromRegistry = Math.min(missing, this.#fromRegistry() - this.#fromRegistryBefore);
    const { peakBytesPerSecond: received } = download;
    const { peakBytesPerSecond: registryRate } = registry;
    const limits = [
      { ms: msFor(missing, received), by: 'received', bytesPerSecond: received },
      { ms: msFor(fromRegistry, registryRate), by: 'registry', bytesPerSecond: registryRate },
      { ms: this.#clientMs, by: 'client', bytesPerSecond: 0 },
    ] as const;
    return limits.reduce((longest, each) => (each.ms > longest.ms ? each : longest));
  }
}

function msFor(bytes: number, bytesPerSecond: number): number {
  return bytes === 0 || bytesPerSecond === 0 ? 0 : (bytes * 1000) / bytesPerSecond;
}
