import type { Clock } from './clock.ts';

/**
 * The machine's monotonic clock.
 * @param options.keepsAlive timers keep the process alive: for a command that only waits. @default false
 */
export function createSystemClock(options: { readonly keepsAlive?: boolean } = {}): Clock {
  return {
    now: () => performance.now(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      if (options.keepsAlive !== true) timer.unref();
      return () => clearTimeout(timer);
    },
  };
}
