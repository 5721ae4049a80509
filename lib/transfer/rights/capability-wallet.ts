import type { BlobRequest, Right, RightSubject } from '../../core/blob-source.ts';
import { BoundedMap } from '../../core/bounded-map.ts';
import { type Digest, digestAlgorithm, digestOf } from '../../core/digest.ts';
import type { BlobOrigin } from '../../core/node.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import { holderOf } from '../../security/capability.ts';
import type { Signatures } from '../../security/signatures.ts';
import type { CapabilityQuestion, GivenCapability } from '../../wire/capability-codec.ts';
import { isGranted, type PeerRight, type SharedBlob } from '../blobs/shared-blob.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import { AskSupernodes, type AskSupernodesDeps, type Said } from './ask-supernodes.ts';
import type { Grants } from './grants.ts';
import { OpenBlobs } from './open-blobs.ts';

export interface CapabilityWalletDeps extends AskSupernodesDeps {
  readonly signatures: Signatures;
  /** Is told which blobs need no right. */
  readonly grants: Pick<Grants, 'openUp'>;
  readonly origin: Pick<OriginClient, 'isPublic'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Cluster time, milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** @default clock */
  readonly rightsClock?: Pick<Clock, 'now'> | undefined;
}

export interface CapabilityWalletHost {
  /** Shows a capability that was renewed to those who have seen the one before. */
  neighbours(): readonly Neighbour[];
  /** Where a client has read the blob, if one has. */
  place(digest: Digest): BlobOrigin | undefined;
  /** Where the blob is read now, for a client or ahead of one; undefined when it is not. */
  reads(digest: Digest): BlobOrigin | undefined;
  /** Blobs that are shared although nobody has said yet whether we may have them. */
  undecided(): readonly SharedBlob[];
  decided(blob: SharedBlob, right: PeerRight): void;
  /** Peers give it to us, although nobody could say so when its client began to read. */
  granted(digest: Digest, right: PeerRight): void;
  /** Our right to it has run out: it is undecided again. */
  lapsed(digest: Digest): void;
}

/** A client waits so long for the answer; then its blob goes on without it, and gets it when it comes. */
const WAIT_MS = 800;
/** What has so little time left is renewed while it is read. */
const RENEW_BEFORE_MS = 2 * 60_000;
/** After a renewal that failed. */
const RENEW_AGAIN_MS = 20_000;
/** Less is of no use to begin with. */
const LEAST_LEFT_MS = 10_000;

interface Held extends GivenCapability {
  /** SHA-256 of the certificate that it is for, hex. */
  readonly holder: string;
  /** When it has run out, of the clock that rights age by. */
  readonly endsAtMs: number;
  /** Not renewed before, milliseconds of the clock. */
  renewFromMs: number;
  /** Being renewed although it has run out; whether that was of use. */
  revival?: Promise<boolean>;
}

/** What nobody could say is asked again when a supernode is back, no sooner than this. */
const UNSAID_AGAIN_MS = 5_000;
/** The same for what is open: a supernode that is back, and nodes that come with it, give it to who shows a right. */
const OPEN_AGAIN_MS = 1_000;
/** The same for a yes that was of no use. */
const USELESS_AGAIN_MS = 1_000;
/** A manifest that gives no right to what it is said to list is not asked for again with each of its blobs. */
const USELESS_MANIFEST_MS = 60_000;
const MAX_USELESS_MANIFESTS = 1024;

/** Blobs that we once had the right to: the last word of the registry while it is away. */
const MAX_ENDED = 4096;

/**
 * The capabilities of a node: got from supernodes for what its clients may read, shown to neighbours before anything is
 * asked of them, renewed while a client reads.
 */
export class CapabilityWallet {
  readonly #deps: CapabilityWalletDeps;
  readonly #host: CapabilityWalletHost;
  readonly #held = new Map<Digest, Held>();
  readonly #open: OpenBlobs;
  /** Those that have run out. */
  readonly #ended = new BoundedMap<Held>(MAX_ENDED);
  /** Being asked for. */
  readonly #asking = new Map<Digest, Promise<PeerRight>>();
  readonly #supernodes: AskSupernodes;
  /** Blobs of which supernodes that live have said nothing for all our patience. */
  readonly #late = new Set<Digest>();
  /** Blobs of which nobody could say whether we may have them -> not asked again before. */
  readonly #unsaid = new Map<Digest, number>();
  /** Questions for manifests under way, by the caller and the repository: they are for the blobs that those list too. */
  readonly #manifests = new Map<string, Promise<Said>>();
  /** Those that gave no right, by a hash of the caller, the repository and the manifest -> not asked for again before. */
  readonly #useless = new BoundedMap<number>(MAX_USELESS_MANIFESTS);
  readonly #rightsClock: Pick<Clock, 'now'>;
  readonly #ending = new AbortController();

  constructor(deps: CapabilityWalletDeps, host: CapabilityWalletHost) {
    this.#deps = deps;
    this.#host = host;
    this.#rightsClock = deps.rightsClock ?? deps.clock;
    this.#supernodes = new AskSupernodes(deps, this.#ending.signal);
    // As long as a supernode is there, whoever may have a blob can show it.
    const place = (digest: Digest): BlobOrigin | undefined =>
      this.#supernodes.somebodyThere ? undefined : host.place(digest);
    this.#open = new OpenBlobs(deps, place, this.#ending.signal);
    deps.grants.openUp(this.#open);
  }

  /** Asks for the right to a blob, or to all that a manifest lists, and for what the registry says of it. Never rejects. */
  async right({ digest, kind, origin }: RightSubject): Promise<Right | undefined> {
    const asked =
      kind === 'manifest'
        ? this.#askForManifest(digest, origin)
        : this.#ask({ ...placeOf(origin), blob: digest });
    const answer = await this.#within(asked);
    if (answer === undefined || typeof answer === 'string') return undefined;
    const { manifest, size } = answer;
    const bytes = manifest === undefined ? undefined : Buffer.from(manifest.bytes, 'base64');
    // What a supernode says is not a manifest's content until it has its digest.
    const right = bytes !== undefined && digestOf(bytes, digestAlgorithm(digest)) === digest;
    return {
      ...(size === undefined ? {} : { size }),
      ...(right && manifest !== undefined ? { manifest: { bytes, mediaType: manifest.mediaType } } : {}),
    };
  }

  /** Why neighbours will give us the blob, asked for if need be: within two seconds, whatever happens. Never rejects. */
  async ensure({ digest, listedBy, origin }: BlobRequest): Promise<PeerRight> {
    if (this.covers(digest)) return 'shown';
    const asking = this.#asking.get(digest);
    // A no may have been another caller's.
    const known = asking === undefined ? 'none' : await this.#within(asking);
    if (known !== 'none') return known ?? 'late';
    return (await this.#within(this.#decide(digest, origin, listedBy))) ?? 'late';
  }

  /** A supernode works on what it was asked for. */
  get supernodeSpeaks(): boolean {
    return this.#supernodes.somebodySpeaks;
  }

  async #ask(question: CapabilityQuestion): Promise<Said> {
    const said = await this.#supernodes.ask(question);
    // Also when nobody waits for it any more.
    if (typeof said === 'object' && said.given !== undefined) this.#keep(said.given);
    return said;
  }

  /** The right to read it is the right to all that it lists. */
  #askForManifest(manifest: Digest, origin: BlobOrigin): Promise<Said> {
    const caller = callerIn(origin);
    const asked = this.#ask({ ...placeOf(origin), manifest });
    this.#manifests.set(caller, asked);
    void asked.finally(() => {
      if (this.#manifests.get(caller) === asked) this.#manifests.delete(caller);
    });
    return asked;
  }

  /** What comes of it within the time that a client waits. */
  async #within<T>(act: Promise<T>): Promise<T | undefined> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const cancel = this.#deps.clock.after(WAIT_MS, () => resolve(undefined));
    try {
      return await Promise.race([act, late]);
    } finally {
      cancel();
    }
  }

  covers(digest: Digest): boolean {
    const held = this.#held.get(digest);
    if (held === undefined || this.#outdated(held)) return false;
    return held.endsAtMs - this.#rightsClock.now() > LEAST_LEFT_MS;
  }

  /** Shows the neighbour the right to the blob, unless it has seen it. */
  show(neighbour: Neighbour, digest: Digest): void {
    const held = this.#held.get(digest);
    if (held !== undefined) neighbour.showCapability(held);
  }

  /** What is shown with a question for the blobs, outside of a link. */
  paperFor(digests: readonly Digest[]): GivenCapability | undefined {
    const held = digests[0] === undefined ? undefined : this.#held.get(digests[0]);
    return held !== undefined && digests.every((digest) => held.digests.includes(digest)) ? held : undefined;
  }

  /** Time passes: renews what a client still reads, and forgets what has expired. */
  tick(): void {
    const now = this.#deps.clock.now();
    for (const blob of this.#host.undecided()) {
      if (this.covers(blob.digest)) this.#host.decided(blob, 'shown');
      else if (!this.#asking.has(blob.digest)) this.#goOn(blob);
    }
    for (const digest of this.#unsaid.keys()) this.#askUnsaid(digest, now);
    for (const held of new Set(this.#held.values())) {
      const leftMs = held.endsAtMs - this.#rightsClock.now();
      if (this.#outdated(held) || leftMs <= 0) {
        this.#drop(held);
        this.#askAnew(held.digests);
      } else if (leftMs < RENEW_BEFORE_MS && now >= held.renewFromMs) {
        held.renewFromMs = now + RENEW_AGAIN_MS;
        if (held.digests.some((digest) => this.#host.reads(digest) !== undefined)) void this.#renew(held);
      }
    }
  }

  /** No supernode was there, and a client reads without one's word: when one is back it need not. */
  #askUnsaid(digest: Digest, now: number): void {
    const origin = this.#host.reads(digest);
    if (origin === undefined) this.#unsaid.delete(digest);
    if (origin === undefined || this.#asking.has(digest) || !this.#supernodes.somebodyThere) return;
    if (now < (this.#unsaid.get(digest) ?? 0)) return;
    this.#unsaid.delete(digest);
    void this.#decide(digest, origin).then((right) => {
      if (isGranted(right)) this.#host.granted(digest, right);
      // Its client reads on without it, so that the blob is not among those undecided.
      if (right === 'late') this.#unsaid.set(digest, this.#deps.clock.now());
      else this.#late.delete(digest);
    });
  }

  close(): void {
    this.#ending.abort();
  }

  /** Nobody has said yes, and nobody is asked any more: unless they were only too busy, that is the answer. */
  #goOn(blob: SharedBlob): void {
    const { digest } = blob;
    const origin = this.#host.reads(digest);
    const late = this.#late.delete(digest);
    if (late && origin !== undefined) void this.#decide(digest, origin);
    else if (!late) this.#host.decided(blob, this.#open.isOpen(digest) ? 'open' : 'none');
  }

  async #renew(held: Held): Promise<void> {
    const { digests } = held;
    if (await this.#askRenewal(held)) this.#showAll(digests);
    // It cannot go on without the registry's word of now.
    else this.#askAnew(digests);
  }

  /** Supernodes cannot ask the registry either: what it last said holds for as long as a session may last. */
  async #revive(digest: Digest): Promise<boolean> {
    const ended = this.#ended.get(digest);
    if (ended === undefined || this.#outdated(ended)) return false;
    if (ended.revival === undefined) {
      const now = this.#deps.clock.now();
      if (now < ended.renewFromMs) return false;
      ended.renewFromMs = now + RENEW_AGAIN_MS;
      ended.revival = this.#askRenewal(ended).finally(() => delete ended.revival);
    }
    return await ended.revival;
  }

  async #askRenewal(held: Held): Promise<boolean> {
    const { capability, digests, endsAtMs } = held;
    const answer = await this.#supernodes.ask({ renew: capability, digests });
    if (typeof answer === 'string' || answer.given === undefined) return false;
    // The way here took a while: of an end that is the same, or nearly, nothing is gained.
    if (this.#endOf(answer.given) <= endsAtMs + LEAST_LEFT_MS) return false;
    return this.#keep(answer.given);
  }

  /** Our certificate is another one now: links that begin from here on show that. */
  #outdated({ holder }: Held): boolean {
    return holder !== this.#deps.signatures.fingerprint;
  }

  /** For blobs that a client reads. */
  #askAnew(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const origin = this.#host.reads(digest);
      if (origin === undefined || this.#asking.has(digest)) continue;
      if (!this.covers(digest)) this.#host.lapsed(digest);
      void this.#decide(digest, origin).then(() => this.#showAll([digest]));
    }
  }

  #showAll(digests: readonly Digest[]): void {
    for (const neighbour of this.#host.neighbours()) {
      for (const digest of digests) if (neighbour.weShare(digest)) this.show(neighbour, digest);
    }
  }

  #decide(digest: Digest, origin: BlobOrigin, listedBy?: Digest): Promise<PeerRight> {
    const deciding = this.#rightTo(digest, origin, listedBy).finally(() => {
      if (this.#asking.get(digest) === deciding) this.#asking.delete(digest);
    });
    this.#asking.set(digest, deciding);
    return deciding;
  }

  /** @param listedBy is asked for first: one question for all blobs that it lists */
  async #rightTo(digest: Digest, origin: BlobOrigin, listedBy?: Digest): Promise<PeerRight> {
    const caller = callerIn(origin);
    const manifest = this.#manifests.get(caller);
    if (manifest !== undefined) {
      await manifest;
      if (this.covers(digest)) return 'shown';
    }
    if (listedBy !== undefined) {
      await this.#askByManifest(digest, listedBy, origin);
      if (this.covers(digest)) return 'shown';
    }
    const said = await this.#ask({ ...placeOf(origin), blob: digest });
    if (said === 'no') return 'none';
    if (said === 'late') {
      this.#late.add(digest);
      return 'late';
    }
    if (said === 'nobody') {
      if (await this.#revive(digest)) return 'shown';
      const open = await this.#open.check(digest, origin);
      this.#unsaid.set(digest, this.#deps.clock.now() + (open ? OPEN_AGAIN_MS : UNSAID_AGAIN_MS));
      return open ? 'open' : 'none';
    }
    if (this.covers(digest)) return 'shown';
    // Given for a certificate that we no longer have, or for no time.
    this.#unsaid.set(digest, this.#deps.clock.now() + USELESS_AGAIN_MS);
    return 'none';
  }

  /** Asks for the manifest, unless that has lately been of no use, or waits for a question of this caller that is under way. */
  async #askByManifest(digest: Digest, manifest: Digest, origin: BlobOrigin): Promise<void> {
    const { clock } = this.#deps;
    const caller = callerIn(origin);
    // A credential is not kept for longer than its reader has it.
    const key = digestOf(Buffer.from(`${caller} ${manifest}`));
    if (clock.now() < (this.#useless.get(key) ?? 0)) return;
    const underWay = this.#manifests.get(caller);
    const said = await (underWay ?? this.#askForManifest(manifest, origin));
    if (underWay !== undefined) return;
    const isNo = typeof said === 'object' ? said.given?.digests.includes(digest) !== true : said === 'no';
    if (isNo) this.#useless.set(key, clock.now() + USELESS_MANIFEST_MS);
  }

  /** @returns whether it is of use */
  #keep(answer: GivenCapability): boolean {
    const { signatures } = this.#deps;
    // On a connection that began with an older certificate of ours.
    const holder = holderOf(answer.capability);
    if (holder === undefined || holder !== signatures.fingerprint) return false;
    const endsAtMs = this.#endOf(answer);
    // One that runs out at once would be asked for again and again, and its client wait each time.
    if (endsAtMs - this.#rightsClock.now() <= LEAST_LEFT_MS) return false;
    signatures.learn(answer.card);
    const held: Held = { ...answer, holder, endsAtMs, renewFromMs: 0 };
    for (const digest of answer.digests) {
      const before = this.#held.get(digest);
      // Of two the one that holds longer; of equals the one for more blobs.
      if (before === undefined || before.endsAtMs <= endsAtMs) this.#held.set(digest, held);
    }
    return true;
  }

  /** By the supernode's word of how long it is; it may go by another time than we. */
  #endOf({ leftMs, untilMs }: GivenCapability): number {
    return this.#rightsClock.now() + (leftMs ?? untilMs - this.#deps.wallClockMs());
  }

  #drop(held: Held): void {
    for (const digest of held.digests) {
      if (this.#held.get(digest) !== held) continue;
      this.#held.delete(digest);
      this.#ended.set(digest, held);
    }
  }
}

/** Absent in a cluster without identities, where nobody asks for capabilities. */
export function createWallet(deps: EngineDeps, host: CapabilityWalletHost): CapabilityWallet | undefined {
  const { grants, vouching } = deps;
  if (grants === undefined || vouching === undefined) return undefined;
  return new CapabilityWallet({ ...deps, grants, signatures: vouching.signatures }, host);
}

/** Whose question it is, of which repository. */
function callerIn({ authorization = '', repository, upstream }: BlobOrigin): string {
  return JSON.stringify([upstream, repository, authorization]);
}

function placeOf({ authorization, repository, traceparent, upstream }: BlobOrigin): BlobOrigin {
  return {
    ...{ upstream, repository },
    ...(authorization === undefined ? {} : { authorization }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
