import { BoundedMap } from '../../core/bounded-map.ts';
import type { Digest } from '../../core/digest.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { GivenCapability } from '../../wire/capability-codec.ts';
import type { PeerMessage } from '../../wire/peer-messages.ts';

/** What a neighbour told about a blob it shares. */
export interface TheirBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly pieceBytes: number;
}

/** Blobs one neighbour may share with us at once: beyond it, further `open`s are ignored. */
const MAX_OPEN_BLOBS = 4096;
/** Cards, warrants and capabilities that it has been shown and we remember: what is forgotten is shown again. */
const MAX_SHOWN = 1024;

/**
 * A peer we are connected to. Each side names blobs by its own handles; a blob is exchanged once both sides have
 * opened it.
 */
export class Neighbour {
  readonly peer: PeerInfo;
  /** SHA-256 of the certificate that it has shown, hex; undefined where nobody shows any. */
  readonly fingerprint: string | undefined;
  /** Slot of this peer in our core, set by the engine. */
  slot = -1;
  /** It has sent wrong bytes: it may go on taking from us, but nothing is taken from it, and nothing that it holds counts. */
  distrusted = false;
  readonly #theirs = new Map<number, TheirBlob>();
  readonly #theirHandles = new Map<Digest, number>();
  /** Of which trace the next reading of the blob is a part. */
  readonly #traceparents = new WeakMap<TheirBlob, string>();
  readonly #holdsSome = new Set<Digest>();
  readonly #opened = new Set<Digest>();
  readonly #met = new Set<Digest>();
  readonly #shown = new BoundedMap<true>(MAX_SHOWN);
  readonly #send: (message: PeerMessage) => void;

  constructor(peer: PeerInfo, send: (message: PeerMessage) => void, fingerprint?: string) {
    this.peer = peer;
    this.fingerprint = fingerprint;
    this.#send = send;
  }

  send(message: PeerMessage): void {
    this.#send(message);
  }

  /** Shows it a card or a warrant, once. */
  show(paper: string): void {
    if (this.#shown.get(paper) !== undefined) return;
    this.#shown.set(paper, true);
    this.send({ type: 'voucher', text: paper });
  }

  /** Shows it our right to some blobs, once. */
  showCapability({
    capability,
    card,
    digests,
  }: Pick<GivenCapability, 'capability' | 'card' | 'digests'>): void {
    if (this.#shown.get(capability) !== undefined) return;
    this.show(card);
    this.#shown.set(capability, true);
    this.send({ type: 'capability', text: capability, digests });
  }

  /** The blob the neighbour means by one of its handles. */
  theirBlob(handle: number): TheirBlob | undefined {
    return this.#theirs.get(handle);
  }

  theyShare(digest: Digest): boolean {
    return this.#theirHandles.has(digest);
  }

  /** The neighbour's own handle of a blob it shares. */
  theirHandle(digest: Digest): number | undefined {
    return this.#theirHandles.get(digest);
  }

  noteOpen(handle: number, blob: TheirBlob): void {
    const before = this.#theirHandles.get(blob.digest);
    // A handle that named another blob names that one no more.
    if (this.#theirs.get(handle)?.digest !== blob.digest) this.noteClose(handle);
    if (before !== undefined) this.#theirs.delete(before);
    else if (this.#theirs.size >= MAX_OPEN_BLOBS) return;
    this.#theirs.set(handle, blob);
    this.#theirHandles.set(blob.digest, handle);
  }

  /** @returns the blob it stops sharing, if it shared it */
  noteClose(handle: number): Digest | undefined {
    const blob = this.#theirs.get(handle);
    if (blob === undefined) return undefined;
    this.#theirs.delete(handle);
    this.#theirHandles.delete(blob.digest);
    this.#holdsSome.delete(blob.digest);
    this.#met.delete(blob.digest);
    return blob.digest;
  }

  /** It says of which trace the reading is a part that it will ask for. */
  noteTraced(handle: number, traceparent: string): void {
    const blob = this.#theirs.get(handle);
    if (blob !== undefined) this.#traceparents.set(blob, traceparent);
  }

  traceOf(handle: number): string | undefined {
    const blob = this.#theirs.get(handle);
    return blob && this.#traceparents.get(blob);
  }

  /** It says that it holds pieces of a blob of its, whether or not we share that one yet. */
  noteHave(handle: number): void {
    const blob = this.#theirs.get(handle);
    if (blob !== undefined) this.#holdsSome.add(blob.digest);
  }

  holdsSome(digest: Digest): boolean {
    return this.#holdsSome.has(digest);
  }

  /** Whether we told this neighbour that we share the blob. */
  weShare(digest: Digest): boolean {
    return this.#opened.has(digest);
  }

  /** Tells the neighbour that we share the blob. @returns false when it already knew */
  openOurs(handle: number, blob: TheirBlob): boolean {
    if (this.#opened.has(blob.digest)) return false;
    this.#opened.add(blob.digest);
    this.send({ type: 'open', handle, digest: blob.digest, size: blob.size, pieceBytes: blob.pieceBytes });
    return true;
  }

  closeOurs(handle: number, digest: Digest): void {
    this.#met.delete(digest);
    if (this.#opened.delete(digest)) this.send({ type: 'close', handle });
  }

  /** True exactly once for a blob that both sides have opened alike: time to exchange what each holds. */
  meet(ours: TheirBlob): boolean {
    const { digest } = ours;
    const theirs = this.#theirs.get(this.#theirHandles.get(digest) ?? -1);
    if (this.#met.has(digest) || !this.#opened.has(digest) || !isSame(theirs, ours)) return false;
    this.#met.add(digest);
    return true;
  }

  /** Whether either side shares any blob over this link. */
  get isOfUse(): boolean {
    return this.#theirs.size > 0 || this.#opened.size > 0;
  }

  /** Whether both sides share the blob and have said so. */
  sharesWithUs(digest: Digest): boolean {
    return this.#met.has(digest);
  }
}

/** The blob here that a neighbour's handle means: none that it shares with another size, or in other pieces. */
export function blobMeant<B extends { readonly info: TheirBlob }>(
  neighbour: Neighbour,
  handle: number,
  find: (digest: Digest) => B | undefined,
): B | undefined {
  const theirs = neighbour.theirBlob(handle);
  const ours = theirs === undefined ? undefined : find(theirs.digest);
  return ours !== undefined && isSame(theirs, ours.info) ? ours : undefined;
}

function isSame(theirs: TheirBlob | undefined, ours: TheirBlob): boolean {
  return theirs?.size === ours.size && theirs.pieceBytes === ours.pieceBytes;
}

export function isSupernode({ peer }: Neighbour): boolean {
  return peer.role === 'supernode';
}
