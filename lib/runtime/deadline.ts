import type { Clock } from './clock.ts';

/**
 * Does something that must end within `mostMs`.
 * @param act is told by its signal when time is up, or when `signal` fires
 */
export async function withDeadline<T>(
  clock: Clock,
  mostMs: number,
  signal: AbortSignal,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const cancel = clock.after(mostMs, () => late.abort());
  try {
    return await act(AbortSignal.any([signal, late.signal]));
  } finally {
    cancel();
  }
}
