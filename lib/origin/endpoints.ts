import { DamselflyError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { discard } from './exchange.ts';
import type { OriginResponse } from './origin-client.ts';

/** An address that failed is asked last for so long, twice as long each time, up to the most. */
const DOWN_MS = 5_000;
const MOST_DOWN_MS = 60_000;
/** A gateway's word that there is no registry behind it. */
const AWAY = [502, 503, 504];

interface Health {
  /** In a row. */
  failures: number;
  downUntilMs: number;
}

/** The addresses of one registry: asked in the order given, those that failed lately last. */
export class Endpoints<E extends { readonly host: string }> {
  readonly #deps: { readonly clock: Clock; readonly log: Logger };
  readonly #all: readonly { readonly endpoint: E; readonly health: Health }[];

  constructor(deps: { readonly clock: Clock; readonly log: Logger }, endpoints: readonly E[]) {
    this.#deps = deps;
    this.#all = endpoints.map((endpoint) => ({ endpoint, health: { failures: 0, downUntilMs: 0 } }));
  }

  /**
   * The answer of the first address that has one, be it a refusal.
   * @param once the question cannot be asked twice: only the first address is asked
   * @throws what the last address asked throws; ABORTED
   */
  async ask(ask: (endpoint: E) => Promise<OriginResponse>, once = false): Promise<OriginResponse> {
    const order = this.#order();
    for (const [index, { endpoint, health }] of order.entries()) {
      const last = once || index === order.length - 1;
      try {
        const response = await ask(endpoint);
        const away = AWAY.includes(response.status);
        this.#note(endpoint, health, away);
        if (!away || last) return response;
        await discard(response);
      } catch (error) {
        if (!(error instanceof DamselflyError) || !error.code.startsWith('UPSTREAM_')) throw error;
        this.#note(endpoint, health, true);
        if (last) throw error;
      }
    }
    throw new DamselflyError('INTERNAL', 'a registry without addresses');
  }

  any(test: (endpoint: E) => boolean): boolean {
    return this.#all.some(({ endpoint }) => test(endpoint));
  }

  /** What the first address that has one says. */
  find<T>(look: (endpoint: E) => T | undefined): T | undefined {
    for (const { endpoint } of this.#all) {
      const found = look(endpoint);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #order(): readonly { readonly endpoint: E; readonly health: Health }[] {
    const now = this.#deps.clock.now();
    const wait = ({ health }: { readonly health: Health }): number => Math.max(0, health.downUntilMs - now);
    return this.#all.length === 1 ? this.#all : this.#all.toSorted((a, b) => wait(a) - wait(b));
  }

  #note(endpoint: E, health: Health, failed: boolean): void {
    if (!failed) {
      health.failures = 0;
      health.downUntilMs = 0;
      return;
    }
    const downMs = Math.min(MOST_DOWN_MS, DOWN_MS * 2 ** health.failures);
    health.failures++;
    health.downUntilMs = this.#deps.clock.now() + downMs;
    if (this.#all.length > 1) {
      this.#deps.log.warn(
        { endpoint: endpoint.host, downMs },
        'an address of the registry fails: others first',
      );
    }
  }
}
