import { BoundedMap } from '../core/bounded-map.ts';
import { claimsOf } from './authorization.ts';

/** Callers remembered; the one not seen for longest goes first. */
const MAX_CALLERS = 1_000;

/**
 * The newest Authorization that the registry accepted from each caller in each repository: tokens live for minutes,
 * pulls may take longer, and clients fetch new ones for their next requests. Callers are told apart by what their tokens
 * say; a token counts only once the registry itself has taken it, so that nobody can pass for another.
 */
export class NewestAuthorization {
  readonly #byCaller = new BoundedMap<string>(MAX_CALLERS);

  /** The registry gave what was asked for in this repository with this Authorization. */
  accepted(repository: string, authorization: string): void {
    const key = keyOf(repository, authorization);
    if (key !== undefined) this.#byCaller.set(key, authorization);
  }

  /** The newest one of the caller who sent this one; this one when none is known. */
  of(repository: string, authorization: string): string {
    const key = keyOf(repository, authorization);
    return (key === undefined ? undefined : this.#byCaller.get(key)) ?? authorization;
  }
}

function keyOf(repository: string, authorization: string): string | undefined {
  const holder = claimsOf(authorization)?.holder;
  return holder === undefined ? undefined : `${repository} ${holder}`;
}
