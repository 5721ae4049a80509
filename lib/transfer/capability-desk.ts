import { createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from '../core/bounded-map.ts';
import { type Digest, digestAlgorithm, digestOf } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { Metrics } from '../observe/metrics.ts';
import { NO_TRACER, type Tracer } from '../observe/spans.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { MANIFEST_ACCEPT } from '../oci/media-types.ts';
import { vouchedBlobs } from '../oci/vouched-blobs.ts';
import { discard, readBody } from '../origin/exchange.ts';
import type { OriginClient } from '../origin/origin-client.ts';
import type { Clock } from '../runtime/clock.ts';
import {
  checkCapability,
  digestListHash,
  issueCapability,
  MAX_CAPABILITY_BLOBS,
} from '../security/capability.ts';
import type { Signatures } from '../security/signatures.ts';
import type { CapabilityAnswer, CapabilityQuestion, GivenCapability } from '../wire/capability-codec.ts';
import type { EngineDeps } from './engine-deps.ts';
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

/** A capability lives so long; its holder renews it while it reads. */
const LIFE_MS = 5 * 60_000;
/** After that the registry is asked again, unless the operator says otherwise. */
const SESSION_MAX_MS = 30 * 60_000;
/** What the registry said of one caller holds for others of the same credential. */
/** As the OCI distribution specification has it: it ends up in a path. */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
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

/** What the registry said with its yes. */
interface Allowed {
  /** Of a blob, bytes. */
  readonly size?: number;
}

interface Manifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** Those that whoever may read it may read. */
  readonly blobs: readonly Digest[];
}

type Asked = Exclude<CapabilityQuestion, { readonly renew: string }>;

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
      const checked = checkCapability(signatures, { text, holder: holder.fingerprint, digests }, nowMs);
      const given = typeof checked === 'string' ? undefined : this.#issue(holder, digests, checked.sinceMs);
      return given === undefined ? undefined : { given };
    }
    const allowed = REPOSITORY.test(question.repository) ? await this.#mayRead(question, signal) : undefined;
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
    const untilMs = Math.min(wallClockMs() + LIFE_MS, sinceMs + this.#sessionMaxMs);
    if (untilMs <= wallClockMs()) return undefined;
    const list = digestListHash(digests);
    const capability = issueCapability(signatures, { list, holder: holder.fingerprint, sinceMs, untilMs });
    // Who has it from us need not show it to us.
    grants.show(holder, { text: capability, digests });
    return { capability, card: signatures.card, digests, untilMs };
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
        const allowed = await this.#askRegistry(asked, late.signal);
        if (allowed !== undefined) this.#allowed.set(key, { ...allowed, untilMs: clock.now() + VERDICT_MS });
        return allowed;
      } finally {
        cancel();
      }
    };
    return await this.#flights.run(key, ask, signal);
  }

  async #askRegistry(asked: Asked, signal: AbortSignal): Promise<Allowed | undefined> {
    const { tracer = NO_TRACER } = this.#deps;
    const { repository, traceparent: parent, upstream } = asked;
    const facts = { 'damselfly.upstream': upstream, 'damselfly.repository': repository };
    const span = tracer.begin('ask for right', { kind: 'server', parent, facts });
    try {
      const allowed = await this.#askFor(asked, span.traceparent, signal);
      span.note({ 'damselfly.allowed': allowed !== undefined });
      span.end();
      return allowed;
    } catch (error) {
      span.end(error instanceof DamselflyError ? error.code : 'INTERNAL');
      throw error;
    }
  }

  async #askFor(
    asked: Asked,
    traceparent: string | undefined,
    signal: AbortSignal,
  ): Promise<Allowed | undefined> {
    const { origin } = this.#deps;
    const { authorization, repository, upstream } = asked;
    const rights = {
      ...(authorization === undefined ? {} : { authorization }),
      ...(traceparent === undefined ? {} : { traceparent }),
    };
    if ('blob' in asked) {
      const path = `/v2/${repository}/blobs/${asked.blob}`;
      const answer = await origin.request({ upstream, method: 'HEAD', path, headers: rights }, { signal });
      await discard(answer);
      const size = Number(answer.headers['content-length'] ?? Number.NaN);
      if (answer.status !== 200) return undefined;
      return Number.isSafeInteger(size) && size >= 0 ? { size } : {};
    }
    const path = `/v2/${repository}/manifests/${asked.manifest}`;
    const headers = { ...rights, accept: MANIFEST_ACCEPT };
    const method = this.#manifests.get(asked.manifest) === undefined ? 'GET' : 'HEAD';
    const answer = await origin.request({ upstream, method, path, headers }, { signal });
    if (answer.status !== 200 || method === 'HEAD') {
      await discard(answer);
      return answer.status === 200 ? {} : undefined;
    }
    const kept = manifestIn(await readBody(answer, MAX_MANIFEST_BYTES), asked.manifest, answer.headers);
    if (kept === undefined) return undefined;
    this.#manifests.set(asked.manifest, kept);
    return {};
  }
}

/** A manifest as the registry sent it; undefined when it is not the one that was asked for. */
function manifestIn(
  bytes: Uint8Array,
  digest: Digest,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Manifest | undefined {
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined;
  const mediaType = String(headers['content-type'] ?? '');
  try {
    const blobs = [...new Set(vouchedBlobs(bytes).map((blob) => blob.digest))];
    return { bytes, mediaType, blobs: blobs.length > MAX_CAPABILITY_BLOBS ? [] : blobs };
  } catch {
    return undefined;
  }
}
