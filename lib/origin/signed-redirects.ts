import type { Clock } from '../runtime/clock.ts';

/** Registries sign addresses of their storage for about twenty minutes. */
const KEPT_MS = 20 * 60_000;
const MAX_KEPT = 1_000;

/** Where the registry last sent us for each blob: such an address needs no Authorization as long as it is valid. */
export class SignedRedirects {
  readonly #clock: Clock;
  readonly #byPath = new Map<string, { readonly url: URL; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  keep(path: string, url: URL): void {
    this.#byPath.delete(path);
    const oldest = this.#byPath.keys().next();
    if (this.#byPath.size >= MAX_KEPT && oldest.done !== true) this.#byPath.delete(oldest.value);
    this.#byPath.set(path, { url, untilMs: this.#clock.now() + KEPT_MS });
  }

  of(path: string): URL | undefined {
    const kept = this.#byPath.get(path);
    return kept !== undefined && kept.untilMs > this.#clock.now() ? kept.url : undefined;
  }
}
