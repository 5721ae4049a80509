import { BoundedMap } from '../core/bounded-map.ts';
import { DamselflyError, describeError, hasCode } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import { CircuitBreaker, type CircuitState } from './circuit-breaker.ts';
import { isWorthRetrying, type OriginClient } from './origin-client.ts';

/** Registries by name: patterns may stand for any number of them. */
const MOST_UPSTREAMS = 256;
const STATES: readonly CircuitState[] = ['closed', 'half-open', 'open'];

export interface GuardedOriginDeps {
  readonly origin: OriginClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Registries behind circuit breakers, for reads that this process makes on behalf of the swarm: one that is broken is
 * asked again now and then instead of by every blob; one that answers and breaks off later is not. What it is spared fails with UPSTREAM_UNREACHABLE
 * (`facts.circuit: open`). Clients' own requests do not come this way.
 */
export function guardedOrigin(deps: GuardedOriginDeps): Pick<OriginClient, 'readBlob'> {
  const { clock, log, metrics, origin } = deps;
  const breakers = new BoundedMap<CircuitBreaker>(MOST_UPSTREAMS);
  const breakerOf = (upstream: string): CircuitBreaker => {
    const known = breakers.get(upstream);
    const breaker = known ?? new CircuitBreaker();
    if (known === undefined) breakers.set(upstream, breaker);
    return breaker;
  };
  const change = (upstream: string, act: (breaker: CircuitBreaker) => void): void => {
    const breaker = breakerOf(upstream);
    const before = breaker.state;
    act(breaker);
    const { state } = breaker;
    if (state === before) return;
    metrics.upstreamCircuit.set({ upstream }, STATES.indexOf(state));
    if (state === 'open' && before === 'closed') {
      log.warn({ upstream }, 'the registry fails again and again: it is spared for a while');
    } else if (state === 'closed') log.info({ upstream }, 'the registry answers again');
  };
  return {
    async readBlob(read, options) {
      const { upstream } = read.origin;
      let retryMs = 0;
      change(upstream, (breaker) => {
        retryMs = breaker.admit(clock.now());
      });
      if (retryMs > 0) {
        throw new DamselflyError('UPSTREAM_UNREACHABLE', 'the registry is spared, it failed too often', {
          upstream,
          circuit: 'open',
          retryMs: Math.ceil(retryMs),
        });
      }
      const ended = (error?: unknown): void =>
        change(upstream, (breaker) => {
          if (error === undefined || isAnswer(error)) breaker.succeeded();
          else if (hasCode(error, 'ABORTED')) breaker.abandoned();
          else breaker.failed(clock.now());
        });
      try {
        const body = await origin.readBlob(read, options);
        ended();
        return body;
      } catch (error) {
        ended(error);
        log.debug({ upstream, error: describeError(error) }, 'a read of the registry failed');
        throw error;
      }
    },
  };
}

/** The registry is there and says no: that is no fault of it. */
function isAnswer(error: unknown): boolean {
  return hasCode(error, 'UPSTREAM_REFUSED') && !isWorthRetrying(error);
}
