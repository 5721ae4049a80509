import { createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from '../../core/bounded-map.ts';
import type { Digest } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';
import { SingleFlight } from '../../core/single-flight.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { NO_TRACER, type Tracer } from '../../observe/spans.ts';
import { isFileLocator } from '../../origin/file.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import {
  CAPABILITY_CLOCKS_MS,
  CAPABILITY_LIFE_MS,
  checkCapability,
  digestListHash,
  issueCapability,
} from '../../security/capability.ts';
import type { Signatures } from '../../security/signatures.ts';
import type { CapabilityAnswer, CapabilityQuestion, GivenCapability } from '../../wire/capability-codec.ts';
import type { EngineDeps } from '../engine-deps.ts';
import {
  type Allowed,
  type Asked,
  askForManifest,
  blobAllowed,
  fileAllowed,
  type Manifest,
  manifestIn,
} from './capability-questions.ts';
import type { Grants, Holder } from './grants.ts';

export interface CapabilityDeskDeps {
  readonly signatures: Signatures;
  readonly grants: Grants;
  readonly origin: Pick<OriginClient, 'request'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly tracer?: Tracer | undefined;
  /** Cluster time, milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** After that the registry is asked again, unless the operator says otherwise. */
const SESSION_MAX_MS = 30 * 60_000;
/** As the OCI distribution specification has it: it ends up in a path. */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
/** What the registry said of one caller holds for others of the same credential. */
const VERDICT_MS = 60_000;
const MAX_VERDICTS = 10_000;
/** Manifests kept, of 4 MiB at most and a few KiB as a rule; they never change. */
const MAX_MANIFESTS = 64;
/** Questions to the registry end by themselves. */
const ASK_MS = 10_000;

export interface DeskHabits {
  /** So long capabilities are renewed without asking the registry, milliseconds. @default 30 min */
  readonly sessionMaxMs?: number | undefined;
}

/** Absent in a cluster without identities. */
export function createDesk(deps: EngineDeps, habits: DeskHabits): CapabilityDesk | undefined {
  const { grants, vouching } = deps;
  if (grants === undefined || vouching === undefined) return undefined;
  return new CapabilityDesk({ ...deps, grants, signatures: vouching.signatures }, habits);
}

/** A supernode's desk: asks the registry whether a caller may read, and says so to the caller's node in writing. */
export class CapabilityDesk {
  readonly #deps: CapabilityDeskDeps;
  readonly #sessionMaxMs: number;
  readonly #allowed = new BoundedMap<Allowed & { readonly untilMs: number }>(MAX_VERDICTS);
  readonly #manifests = new BoundedMap<Manifest>(MAX_MANIFESTS);
  readonly #flights = new SingleFlight<Allowed | undefined>();
  /** Credentials are kept as hashes under a key that dies with the process. */
  readonly #key = randomBytes(32);

  constructor(deps: CapabilityDeskDeps, { sessionMaxMs = SESSION_MAX_MS }: DeskHabits) {
    this.#deps = deps;
    this.#sessionMaxMs = sessionMaxMs;
  }

  /** @returns undefined when there is no right, or nobody who could say so. @throws UPSTREAM_*, ABORTED */
  async answer(
    holder: Holder,
    question: CapabilityQuestion,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<CapabilityAnswer | undefined> {
    const { metrics, signatures, wallClockMs } = this.#deps;
    const nowMs = wallClockMs();
    if ('renew' in question) {
      const { digests, renew: text } = question;
      // One that has run out is as good: how long the registry's word holds is for the session to say.
      const shown = { text, holder: holder.fingerprint, digests };
      const checked = checkCapability(signatures, shown, Number.NEGATIVE_INFINITY);
      // By a clock that was further ahead than any may be, its session would not end for as long.
      if (typeof checked === 'string' || checked.sinceMs > nowMs + CAPABILITY_CLOCKS_MS) return undefined;
      const given = this.#issue(holder, digests, Math.min(checked.sinceMs, nowMs));
      return given === undefined ? undefined : { given };
    }
    const isPlace = isFileLocator(question.repository) || REPOSITORY.test(question.repository);
    const allowed = isPlace ? await this.#mayRead(question, signal) : undefined;
    metrics.authorization.inc({ verdict: allowed === undefined ? 'not-minted' : 'minted' });
    if (allowed === undefined) return undefined;
    if ('blob' in question) {
      const given = this.#issue(holder, [question.blob], nowMs);
      return { ...(given && { given }), ...allowed };
    }
    const manifest = this.#manifests.get(question.manifest);
    if (manifest === undefined) return undefined;
    const { blobs, bytes, mediaType } = manifest;
    const given = blobs.length === 0 ? undefined : this.#issue(holder, blobs, nowMs);
    return { ...(given && { given }), manifest: { bytes: Buffer.from(bytes).toString('base64'), mediaType } };
  }

  #issue(holder: Holder, digests: readonly Digest[], sinceMs: number): GivenCapability | undefined {
    const { grants, signatures, wallClockMs } = this.#deps;
    const nowMs = wallClockMs();
    const untilMs = Math.min(nowMs + CAPABILITY_LIFE_MS, sinceMs + this.#sessionMaxMs);
    if (untilMs <= nowMs) return undefined;
    const list = digestListHash(digests);
    const capability = issueCapability(signatures, { list, holder: holder.fingerprint, sinceMs, untilMs });
    // Who has it from us need not show it to us.
    grants.show(holder, { text: capability, digests });
    return { capability, card: signatures.card, digests, untilMs, leftMs: untilMs - nowMs };
  }

  /** What the registry says of it to this caller; undefined for no. Callers of one credential share the question. */
  async #mayRead(asked: Asked, signal: AbortSignal): Promise<Allowed | undefined> {
    const { clock } = this.#deps;
    const { authorization, repository, upstream } = asked;
    const subject = 'blob' in asked ? `blob ${asked.blob}` : `manifest ${asked.manifest}`;
    const caller =
      authorization === undefined ? '' : createHmac('sha256', this.#key).update(authorization).digest('hex');
    const key = JSON.stringify([upstream, repository, subject, caller]);
    const known = this.#allowed.get(key);
    const here = 'blob' in asked || this.#manifests.get(asked.manifest) !== undefined;
    if (known !== undefined && known.untilMs > clock.now() && here) {
      return known.size === undefined ? {} : { size: known.size };
    }
    const ask = async (): Promise<Allowed | undefined> => {
      const late = new AbortController();
      const cancel = clock.after(ASK_MS, () =>
        late.abort(new DamselflyError('ABORTED', 'the registry is slow')),
      );
      try {
        const allowed = await this.#ask(asked, late.signal);
        if (allowed !== undefined) this.#allowed.set(key, { ...allowed, untilMs: clock.now() + VERDICT_MS });
        return allowed;
      } finally {
        cancel();
      }
    };
    return await this.#flights.run(key, ask, signal);
  }

  async #ask(asked: Asked, signal: AbortSignal): Promise<Allowed | undefined> {
    const { tracer = NO_TRACER } = this.#deps;
    const { repository, traceparent: parent, upstream } = asked;
    // Where a file is may tell how to read it.
    const where = isFileLocator(repository) ? {} : { 'damselfly.repository': repository };
    const facts = { 'damselfly.upstream': upstream, ...where };
    const span = tracer.begin('ask for right', { kind: 'server', parent, facts });
    const { traceparent = parent } = span;
    try {
      const allowed = await this.#askFor(
        { ...asked, ...(traceparent === undefined ? {} : { traceparent }) },
        signal,
      );
      span.note({ 'damselfly.allowed': allowed !== undefined });
      span.end();
      return allowed;
    } catch (error) {
      span.end(error instanceof DamselflyError ? error.code : 'INTERNAL');
      throw error;
    }
  }

  async #askFor(asked: Asked, signal: AbortSignal): Promise<Allowed | undefined> {
    const { origin } = this.#deps;
    if (isFileLocator(asked.repository)) return await fileAllowed(origin, asked, signal);
    if ('blob' in asked) return await blobAllowed(origin, asked, signal);
    const { manifest } = asked;
    if (this.#manifests.get(manifest) !== undefined) {
      const { status } = await askForManifest(origin, asked, 'HEAD', signal);
      return status === 200 ? {} : undefined;
    }
    const answer = await askForManifest(origin, asked, 'GET', signal);
    const kept = answer.bytes && manifestIn(answer.bytes, manifest, answer.mediaType);
    if (kept === undefined) return undefined;
    this.#manifests.set(manifest, kept);
    return {};
  }
}
