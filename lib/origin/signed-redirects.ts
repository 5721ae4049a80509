import { BoundedMap } from '../core/bounded-map.ts';
import type { Clock } from '../runtime/clock.ts';

/** Registries sign addresses of their storage for about twenty minutes. */
const KEPT_MS = 20 * 60_000;
const MAX_KEPT = 1_000;

/** Where the registry last sent us for each blob: such an address needs no Authorization as long as it is valid. */
export class SignedRedirects {
  readonly #clock: Clock;
  readonly #byPath = new BoundedMap<{ readonly url: URL; readonly untilMs: number }>(MAX_KEPT);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  keep(path: string, url: URL): void {
    this.#byPath.set(path, { url, untilMs: this.#clock.now() + KEPT_MS });
  }

  of(path: string): URL | undefined {
    const kept = this.#byPath.get(path);
    return kept !== undefined && kept.untilMs > this.#clock.now() ? kept.url : undefined;
  }
}
