import type { BlobRequest } from '../../core/blob-source.ts';
import { type Digest, digestAlgorithm, digestOf, isFileKey, pieceHash } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import { withAbort } from '../../core/single-flight.ts';
import {
  MAX_SMALL_ANSWER_BYTES,
  MAX_SMALL_BLOBS,
  type ShownCapability,
  SMALL_BLOB_BYTES,
  type SmallBlob,
} from '../../wire/small-blobs-codec.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import { isGranted, type PeerRight, type SharedBlob } from '../blobs/shared-blob.ts';
import { unpooled } from '../buffer-pool.ts';
import type { EngineDeps } from '../engine-deps.ts';
import { OneRead } from '../proofs/vouching.ts';

/** When the first one asked has not answered by then, others are asked too. */
const HEDGE_MS = 25;
/** Others that are asked. */
const HEDGES = 2;
/** How long the tracker may take to name them. */
const NAMING_MS = 100;
/** When nobody has answered by then, the blob goes the way of all blobs. */
const PATIENCE_MS = 500;

export interface SmallBlobsHost {
  /** Why peers give us the blob; undefined where nobody asks for a right to it. Never rejects. */
  right(request: BlobRequest): Promise<PeerRight> | undefined;
  /** What shows that. */
  paperFor(digests: readonly Digest[]): ShownCapability | undefined;
  /** Whether the blob is in the swarm already: then it comes from there. */
  shared(digest: Digest): boolean;
  /** Takes it into the swarm. */
  share(blob: SmallBlob): Promise<SharedBlob | undefined>;
  /** It is on disk. */
  obtained(blob: SharedBlob): void;
  /** Whether nothing is taken from the peer. */
  distrusted(id: string): boolean;
  /** It sent bytes that are not those of the blob. */
  distrust(peer: PeerInfo): void;
}

/** One blob that somebody wants. */
interface Wanted {
  readonly request: BlobRequest;
  readonly result: PromiseWithResolvers<Uint8Array | undefined>;
  /** Ids of the peers asked, and how many of them may still answer. */
  readonly asked: Set<string>;
  pending: number;
  /** Others than the owner are asked, or being found. */
  hedged: boolean;
  settled: boolean;
}

/**
 * Blobs too small for a swarm, such as image configs: one round trip to the supernode that owns them, all that are
 * wanted at once in one question; when it is slow, also to nodes that share them. The whole digest is checked before
 * anybody sees a byte.
 */
export class SmallBlobs {
  readonly #deps: EngineDeps;
  readonly #sink: PieceSink;
  readonly #host: SmallBlobsHost;
  readonly #wanted = new Map<Digest, Wanted>();
  #closed = false;

  constructor(deps: EngineDeps, sink: PieceSink, host: SmallBlobsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  /** The verified bytes; undefined when they are not to be had this way. @throws ABORTED */
  async get(request: BlobRequest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#fetch([request]);
    const wanted = this.#wanted.get(request.digest);
    if (wanted === undefined || wanted.request.size !== request.size) return undefined;
    return await withAbort(wanted.result.promise, signal);
  }

  /** Fetches those that are small and not here; all are of one repository. */
  async prepare(requests: readonly BlobRequest[]): Promise<void> {
    const here = async ({ digest }: BlobRequest): Promise<boolean> => {
      const kept = await this.#deps.store.open(digest);
      await kept?.close();
      return kept?.complete === true;
    };
    try {
      const absent: BlobRequest[] = [];
      for (const request of requests) {
        if (!isSmall(request) || (await here(request))) continue;
        if (isGranted((await this.#host.right(request)) ?? 'shown')) absent.push(request);
      }
      this.#fetch(absent);
    } catch (error) {
      // Whoever asks for one of them meets the same trouble, and is told.
      this.#deps.log.warn({ error: describeError(error) }, 'small blobs could not be prepared');
    }
  }

  #fetch(requests: readonly BlobRequest[]): void {
    const { clock, discovery } = this.#deps;
    const byOwner = new Map<string | undefined, { owner: PeerInfo | undefined; batch: Wanted[] }>();
    for (const request of requests) {
      const { digest } = request;
      const known = discovery.owner(digest);
      const owner = known === undefined || this.#host.distrusted(known.id) ? undefined : known;
      const hopeless = this.#closed || (owner === undefined && !discovery.reachable);
      const elsewhere = !isSmall(request) || isFileKey(digest) || this.#host.shared(digest);
      if (hopeless || elsewhere || this.#wanted.has(digest)) continue;
      const wanted: Wanted = {
        ...{ request, result: Promise.withResolvers(), asked: new Set() },
        ...{ pending: 0, hedged: false, settled: false },
      };
      this.#wanted.set(digest, wanted);
      const group = byOwner.get(owner?.id) ?? { owner, batch: [] };
      byOwner.set(owner?.id, group);
      group.batch.push(wanted);
    }
    for (const { owner, batch } of byOwner.values()) {
      if (owner !== undefined) for (const part of questions(batch)) void this.#ask(owner, part);
      clock.after(owner === undefined ? 0 : HEDGE_MS, () => this.#hedge(batch));
      clock.after(PATIENCE_MS, () => batch.forEach((wanted) => this.#settle(wanted)));
    }
  }

  /** Discovery names peers that share the blob. @returns whether it was us who had asked */
  named(digest: Digest, peers: readonly PeerInfo[]): boolean {
    const wanted = this.#wanted.get(digest);
    if (wanted === undefined) return false;
    const fresh = peers.filter(({ id }) => !wanted.asked.has(id) && !this.#host.distrusted(id));
    for (const peer of fresh.slice(0, HEDGES)) if (!wanted.settled) void this.#ask(peer, [wanted]);
    if (wanted.pending === 0) this.#settle(wanted);
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const wanted of this.#wanted.values()) this.#settle(wanted);
  }

  async #ask(peer: PeerInfo, batch: readonly Wanted[]): Promise<void> {
    const { log, network, self } = this.#deps;
    for (const wanted of batch) {
      wanted.asked.add(peer.id);
      wanted.pending++;
    }
    const { host, id, port, role } = peer;
    const asking = new AbortController();
    const settled = batch.map(({ result }) => result.promise);
    void Promise.all(settled).then(() => asking.abort());
    let answer: readonly (Uint8Array | undefined)[] = [];
    try {
      const blobs = batch.map(({ request }) => request);
      // The owner reads what it does not have; anybody else is asked for what it has.
      const origin = role === 'supernode' ? { origin: blobs[0]!.origin } : {};
      const paper = this.#host.paperFor(blobs.map(({ digest }) => digest));
      const shown = paper === undefined ? {} : { capability: paper };
      const asked = { address: { host, port }, from: self().id, blobs, ...origin, ...shown };
      answer = await network.fetchSmall(asked, { signal: asking.signal });
    } catch (error) {
      if (!asking.signal.aborted) {
        log.debug({ peer: id, error: describeError(error) }, 'small blobs not told');
      }
    }
    for (const [index, wanted] of batch.entries()) {
      wanted.pending--;
      const { digest } = wanted.request;
      const bytes = answer[index];
      if (wanted.settled) continue;
      if (bytes !== undefined && digestOf(bytes, digestAlgorithm(digest)) === digest) {
        this.#settle(wanted, bytes, peer);
        continue;
      }
      if (bytes !== undefined) this.#refuse(peer, digest);
      if (!wanted.hedged) this.#hedge([wanted]);
      else if (wanted.pending === 0) this.#settle(wanted);
    }
  }

  /** Asks who else shares these blobs. */
  #hedge(batch: readonly Wanted[]): void {
    const { clock, discovery } = this.#deps;
    const slow = batch.filter(({ hedged, settled }) => !hedged && !settled);
    for (const wanted of slow) wanted.hedged = true;
    if (slow.length === 0) return;
    discovery.announce(slow.map(({ request: { digest, size } }) => ({ digest, size, have: 'none' })));
    clock.after(discovery.reachable ? NAMING_MS : 0, () => {
      for (const wanted of slow) if (wanted.pending === 0) this.#settle(wanted);
    });
  }

  #settle(wanted: Wanted, bytes?: Uint8Array, from?: PeerInfo): void {
    if (wanted.settled) return;
    wanted.settled = true;
    const { request, result } = wanted;
    const forget = (): void => void this.#wanted.delete(request.digest);
    result.resolve(bytes);
    // Whoever asks until it is in the store gets it from here.
    if (bytes === undefined || from === undefined) {
      forget();
      // Whoever still wants it joins its swarm, and announces it anew.
      const announced = wanted.hedged && !this.#closed && !this.#host.shared(request.digest);
      if (announced) this.#deps.discovery.withdraw([request.digest]);
    } else void this.#keep(request, bytes, from).then(forget);
  }

  #refuse(peer: PeerInfo, digest: Digest): void {
    const { clock, metrics, trace } = this.#deps;
    metrics.piecesRejected.inc({ reason: 'whole-digest' });
    trace?.(clock.now(), { kind: 'piece-rejected', digest, index: 0, from: peer.id });
    this.#host.distrust(peer);
  }

  /** Stores the blob, and tells who may ask for it. */
  async #keep(request: BlobRequest, bytes: Uint8Array, from: PeerInfo): Promise<void> {
    const { log, rng, vouching } = this.#deps;
    try {
      const blob = await this.#host.share(request);
      if (blob === undefined) return;
      const proof = new OneRead({ rng, vouching }, blob.info).proof(0, pieceHash(bytes));
      const source = from.role === 'supernode' ? 'supernode' : 'peer';
      await this.#sink.accept(blob, proof, unpooled(bytes), source, { from: from.id });
      this.#host.obtained(blob);
      await this.#sink.check(blob);
    } catch (error) {
      log.warn({ digest: request.digest, error: describeError(error) }, 'a small blob was not kept');
    }
  }
}

function isSmall({ size }: BlobRequest): boolean {
  return size > 0 && size <= SMALL_BLOB_BYTES;
}

/** Cut so that each part fits into one question. All blobs of a part lie in one repository and are read by one right. */
function questions(batch: readonly Wanted[]): Wanted[][] {
  const parts: Wanted[][] = [];
  let bytes = 0;
  for (const wanted of batch) {
    const part = parts.at(-1);
    bytes += wanted.request.size;
    if (part === undefined || part.length === MAX_SMALL_BLOBS || bytes > MAX_SMALL_ANSWER_BYTES) {
      parts.push([wanted]);
      bytes = wanted.request.size;
    } else part.push(wanted);
  }
  return parts;
}
