import { BoundedMap } from '../lib/core/bounded-map.ts';
import type { Digest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Asker, CallerNames } from './callers.ts';
import type { Headers } from './exchange.ts';
import type { Verdict } from './verdicts.ts';

export interface StalePolicy {
  /** While a registry is away, callers get what they were allowed within so long; 0 = nothing. Milliseconds. */
  readonly staleIfErrorMs: number;
  /** Whether that holds for tags too, whose digest may have moved since. */
  readonly tags: 'refuse' | 'stale';
}

/**
 * What the settings `--stale-if-error` (milliseconds) and `--tags-when-down` mean together.
 * @throws CONFIG_INVALID when one contradicts the other
 */
export function stalePolicy(
  staleIfErrorMs: number,
  tags: StalePolicy['tags'] = staleIfErrorMs === 0 ? 'refuse' : 'stale',
): StalePolicy {
  if (staleIfErrorMs > 0 || tags === 'refuse') return { staleIfErrorMs, tags };
  const told =
    '--tags-when-down stale: say for how long after they were last read, with --stale-if-error 24h';
  throw new DamselflyError('CONFIG_INVALID', told);
}

export interface KeptManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** Undefined when it was only asked about, or no longer kept. */
  readonly body?: Uint8Array | undefined;
}

/** What is served although nobody can be asked, and the Warning that says so. */
export type Stale<T> = { readonly value: T; readonly headers: Headers };

const MAX_RIGHTS = 50_000;
const MAX_MANIFESTS = 10_000;
/** Registries that a pattern stands for can be named without end. */
const MAX_AWAY = 1_000;
/** Manifest bodies kept, in bytes. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** After a failure the registry is not waited for again, where there is something to serve, for so long. */
const AWAY_MS = 5_000;

interface Entry<T> {
  readonly value: T;
  readonly atMs: number;
}

/**
 * What each caller was last allowed, for the time when its registry is away; kept in memory only. Off, it keeps nothing.
 * Only callers that are still the same ones are served: see {@link CallerNames.lasting}.
 */
export class LastKnown {
  readonly #clock: Clock;
  readonly #names: CallerNames;
  readonly #policy: StalePolicy;
  readonly #blobs = new BoundedMap<Entry<{ readonly size: number }>>(MAX_RIGHTS);
  readonly #manifests = new BoundedMap<Entry<Omit<KeptManifest, 'body'>>>(MAX_MANIFESTS);
  readonly #challenges = new BoundedMap<Entry<string>>(MAX_RIGHTS);
  readonly #bodies = new Map<Digest, Uint8Array>();
  #bodyBytes = 0;
  readonly #awayUntilMs = new BoundedMap<number>(MAX_AWAY);

  constructor(deps: { readonly clock: Clock; readonly names: CallerNames }, policy: StalePolicy) {
    this.#clock = deps.clock;
    this.#names = deps.names;
    this.#policy = policy;
  }

  /** The registry's word on a blob. */
  noteBlob(asker: Asker, digest: Digest, verdict: Verdict): void {
    const name = this.#lasting(asker);
    if (name === undefined) return;
    this.#awayUntilMs.delete(asker.upstream);
    if (verdict.kind === 'refused' && this.#speaksForAll(asker)) this.#blobs.delete(`${name} ${digest}`);
    else if (verdict.kind === 'allowed') {
      this.#blobs.set(`${name} ${digest}`, { value: { size: verdict.size }, atMs: this.#clock.now() });
    }
  }

  blob(asker: Asker, digest: Digest): Stale<{ readonly size: number }> | undefined {
    return this.#fresh(asker, this.#blobs.get(`${this.#lasting(asker) ?? ''} ${digest}`));
  }

  /** The registry gave this caller a manifest, or, without a body, its digest. */
  noteManifest(asker: Asker, reference: string, accept: string, manifest: KeptManifest): void {
    const name = this.#lasting(asker);
    if (name === undefined) return;
    this.#awayUntilMs.delete(asker.upstream);
    const { body, ...value } = manifest;
    const entry = { value, atMs: this.#clock.now() };
    this.#manifests.set(manifestKey(name, reference, accept), entry);
    this.#manifests.set(manifestKey(name, manifest.digest, accept), entry);
    if (body !== undefined) this.#keepBody(manifest.digest, body);
  }

  /** The registry refused it, or has it no more. */
  forgetManifest(asker: Asker, reference: string, accept: string): void {
    const name = this.#lasting(asker);
    if (name !== undefined && this.#speaksForAll(asker)) {
      this.#manifests.delete(manifestKey(name, reference, accept));
    }
  }

  manifest(asker: Asker, reference: string, accept: string): Stale<KeptManifest> | undefined {
    if (!reference.includes(':') && this.#policy.tags === 'refuse') return undefined;
    const name = this.#lasting(asker) ?? '';
    const found = this.#fresh(asker, this.#manifests.get(manifestKey(name, reference, accept)));
    if (found === undefined) return undefined;
    return { ...found, value: { ...found.value, body: this.#bodies.get(found.value.digest) } };
  }

  /** The registry wants a name and a password of callers that send none; most clients send theirs only when asked. */
  noteChallenge(asker: Asker, challenge: string): void {
    const name = this.#lasting(asker);
    // A token would be a new one: who sends it is not known to be the same caller.
    if (name === undefined || asker.authorization !== undefined || !/^basic\b/i.test(challenge)) return;
    this.#challenges.set(name, { value: challenge, atMs: this.#clock.now() });
  }

  challenge(asker: Asker): Stale<string> | undefined {
    if (asker.authorization !== undefined) return undefined;
    return this.#fresh(asker, this.#challenges.get(this.#lasting(asker) ?? ''));
  }

  /** Whether the registry failed a moment ago. */
  isAway(upstream: string): boolean {
    return (this.#awayUntilMs.get(upstream) ?? 0) > this.#clock.now();
  }

  noteAway(upstream: string): void {
    this.#awayUntilMs.set(upstream, this.#clock.now() + AWAY_MS);
  }

  #lasting(asker: Asker): string | undefined {
    return this.#policy.staleIfErrorMs === 0 ? undefined : this.#names.lasting(asker);
  }

  /** Under `trust: node` one name stands for everybody: the refusal of one caller's own credentials is its own. */
  #speaksForAll(asker: Asker): boolean {
    return asker.authorization === undefined || this.#names.lasting(asker) === this.#names.exact(asker);
  }

  #fresh<T>({ upstream }: Asker, entry: Entry<T> | undefined): Stale<T> | undefined {
    const ageMs = entry === undefined ? 0 : this.#clock.now() - entry.atMs;
    if (entry === undefined || ageMs > this.#policy.staleIfErrorMs) return undefined;
    const text = `${upstream} does not answer: served as it was ${Math.round(ageMs / 1000)} s ago`;
    return { value: entry.value, headers: { warning: `299 - "${text}"` } };
  }

  #keepBody(digest: Digest, body: Uint8Array): void {
    if (this.#bodies.has(digest)) return;
    this.#bodies.set(digest, body);
    this.#bodyBytes += body.length;
    for (const [oldest, bytes] of this.#bodies) {
      if (this.#bodyBytes <= MAX_BODY_BYTES) return;
      this.#bodies.delete(oldest);
      this.#bodyBytes -= bytes.length;
    }
  }
}

/** A digest names one manifest whatever the client accepts; a tag means another one to another client. */
function manifestKey(name: string, reference: string, accept: string): string {
  return reference.includes(':') ? `${name} ${reference}` : `${name} ${reference} ${accept}`;
}

/** Whether an answer does: a gateway's word that there is no registry behind it. */
export function isAwayAnswer(answer: { readonly status: number } | { readonly kind: 'allowed' }): boolean {
  return 'status' in answer && answer.status >= 502 && answer.status <= 504;
}
