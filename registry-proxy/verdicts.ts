import { createHmac, randomBytes } from 'node:crypto';
import type { Digest } from '../lib/core/digest.ts';
import { SingleFlight } from '../lib/core/single-flight.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Headers } from './exchange.ts';

/** Who wants to read in which repository. */
export interface Asker {
  readonly upstream: string;
  readonly repository: string;
  /** Authorization value; undefined = anonymous. A secret. */
  readonly authorization: string | undefined;
}

/** What the registry said about one caller's right to read one blob. */
export type Verdict =
  | { readonly kind: 'allowed'; readonly size: number }
  /** Refused, or not there. */
  | { readonly kind: 'refused'; readonly status: number; readonly headers: Headers }
  /** Neither: the registry is busy or broken. Never remembered. */
  | { readonly kind: 'unclear'; readonly status: number; readonly headers: Headers };

/** Remembers, for a short time, what each caller may read; never shared between callers or repositories. */
export interface Verdicts {
  /** The verdict remembered, or `ask`ed of the registry; askers of the same at the same time share one question. */
  of(asker: Asker, digest: Digest, ask: () => Promise<Verdict>, signal: AbortSignal): Promise<Verdict>;
  /** The registry gave this caller a manifest that lists these blobs. */
  learn(asker: Asker, blobs: Iterable<{ readonly digest: Digest; readonly size: number }>): void;
  forget(asker: Asker, digest: Digest): void;
}

const ALLOWED_MS = 60_000;
const REFUSED_MS = 5_000;
/** Verdicts remembered at once, about 300 bytes each; the oldest goes first. */
const MAX_VERDICTS = 50_000;

export function createVerdicts(deps: { readonly clock: Clock; readonly metrics: Metrics }): Verdicts {
  const { clock, metrics } = deps;
  const remembered = new Map<string, { readonly verdict: Verdict; readonly untilMs: number }>();
  const flights = new SingleFlight<Verdict>();
  // Authorization values are kept only as hashes under a key that dies with the process.
  const key = randomBytes(32);

  const nameOf = ({ upstream, repository, authorization }: Asker): string => {
    const who =
      authorization === undefined
        ? 'anonymous'
        : createHmac('sha256', key).update(authorization).digest('base64');
    return `${upstream} ${repository} ${who}`;
  };

  const valid = (name: string): Verdict | undefined => {
    const entry = remembered.get(name);
    return entry !== undefined && entry.untilMs > clock.now() ? entry.verdict : undefined;
  };

  const remember = (name: string, verdict: Verdict): void => {
    if (verdict.kind === 'unclear') return;
    remembered.delete(name);
    if (remembered.size >= MAX_VERDICTS) remembered.delete(remembered.keys().next().value ?? '');
    remembered.set(name, {
      verdict,
      untilMs: clock.now() + (verdict.kind === 'allowed' ? ALLOWED_MS : REFUSED_MS),
    });
  };

  return {
    async of(asker, digest, ask, signal) {
      const name = `${nameOf(asker)} ${digest}`;
      const known = valid(name);
      if (known !== undefined) {
        metrics.authorization.inc({ verdict: 'remembered' });
        return known;
      }
      return await flights.run(
        name,
        async () => {
          const verdict = await ask();
          metrics.authorization.inc({ verdict: verdict.kind });
          remember(name, verdict);
          return verdict;
        },
        signal,
      );
    },
    learn(asker, blobs) {
      const prefix = nameOf(asker);
      for (const { digest, size } of blobs) {
        const name = `${prefix} ${digest}`;
        // A size that the registry itself has told is better than what a manifest's author wrote.
        if (valid(name)?.kind !== 'allowed') remember(name, { kind: 'allowed', size });
      }
    },
    forget(asker, digest) {
      remembered.delete(`${nameOf(asker)} ${digest}`);
    },
  };
}
