import type { Digest } from '../../core/digest.ts';
import { abortedError, type DamselflyError } from '../../core/errors.ts';
import type { BlobInfo } from '../../core/geometry.ts';
import type { BlobOrigin } from '../../core/node.ts';
import { type PieceProof, sameBytes } from '../../core/proof.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { BufferPool, PieceBuffer } from '../buffer-pool.ts';
import { Senders } from '../peers/senders.ts';
import type { ProofJudge } from '../proofs/proof-judge.ts';
import { type Teller, ToldProofs } from '../proofs/told-proofs.ts';
import { DigestCheck } from './digest-check.ts';
import { PassingBlob } from './passing-blob.ts';

/**
 * Why peers give us a blob: we have shown them that we may have it, or nobody asks for that; the registry gives it to
 * anybody, as they can see for themselves, and no supernode is there; or they do not. `late`: they do not yet, since the
 * supernodes that could say so are busy.
 */
export type PeerRight = 'shown' | 'open' | 'none' | 'late';

/** Whether peers can be asked for it. */
export const isGranted = (right: PeerRight): boolean => right === 'shown' || right === 'open';

/** A verified piece on its way to the disk. */
export interface LandingPiece {
  readonly piece: PieceBuffer;
  /** @throws STORE_* when the disk does not take it */
  readonly written: Promise<void>;
}

/** One blob that this node shares with neighbours: its pieces on disk, the proofs it knows, and who waits for it. */
export class SharedBlob {
  readonly stored: StoredBlob;
  /** Our short name for it on every link, and its slot in the core. */
  readonly handle: number;
  readonly slot: number;
  check: DigestCheck;
  /** The digest of the whole blob has matched. */
  verified: boolean;
  /** Where the registry has it; set by the first reader that knows. */
  origin: BlobOrigin | undefined;
  /** Ids of the supernodes that own it, as discovery told. */
  owners: ReadonlySet<string> = new Set();
  /** Whether discovery knows of a supernode that owns it, be it linked to us or not. */
  owned = false;
  /** Ids of the neighbours that discovery chose for it. */
  readonly chosen = new Set<string>();
  /** When discovery last answered who shares it. */
  answeredMs = Number.NEGATIVE_INFINITY;
  /** Clients reading it now. */
  readers = 0;
  /** What neighbours sent them of it, where their pulls are traced. */
  readonly senders = new Senders();
  /** Pieces of it on their way to neighbours. */
  uploads = 0;
  peerRight: PeerRight = 'shown';
  /** Fetched although no client has asked for it yet. */
  prefetched = false;
  /** The piece a client waits for, and since when. */
  cursor = 0;
  waitingSinceMs: number;
  /** The piece that supernodes were last asked to offer next, and when. */
  asked: { readonly piece: number; readonly atMs: number } | undefined;
  /** Bytes of it that this process itself read from a registry and kept. */
  registryBytes = 0;
  /** Ends every reader; a new reader clears it and tries again. */
  failure: DamselflyError | undefined;
  /** When bytes last came from anywhere, and when a piece last came from a supernode. */
  lastProgressMs: number;
  /** Since when peers may be asked for it, less what they need to begin. */
  askedOfPeersMs: number;
  lastSupernodeMs = Number.NEGATIVE_INFINITY;
  usedMs: number;
  /** No longer part of the swarm; its slot in the core may belong to another blob. */
  retired = false;
  /** Then: settles when the store has closed it. */
  closed = Promise.resolve();
  /** Pieces that neighbours are to hear of next, and when they last heard of any. */
  readonly news: number[] = [];
  toldMs = Number.NEGATIVE_INFINITY;
  /** The run of the whole-digest check under way, and whether more pieces came meanwhile. */
  checking: Promise<void> | undefined;
  checkAgain = false;
  /** Pieces on their way -> when a neighbour was first known to have them. */
  readonly #knownMs = new Map<number, number>();
  readonly #told: ToldProofs;
  readonly #judge: ProofJudge | undefined;
  readonly #refused = new Set<string>();
  readonly #blamed = new Set<string>();
  readonly #suspected = new Set<string>();
  readonly #landing = new Map<number, LandingPiece>();
  readonly #waiters = new Set<() => void>();
  readonly #pool: BufferPool;

  /** @param judge says whose proofs count, in a cluster with identities */
  constructor(
    stored: StoredBlob,
    pool: BufferPool,
    handle: number,
    slot: number,
    nowMs: number,
    judge?: ProofJudge,
  ) {
    this.stored = stored;
    this.handle = handle;
    this.slot = slot;
    this.check = new DigestCheck(stored, pool);
    this.verified = stored.complete;
    this.#pool = pool;
    this.#judge = judge;
    this.#told = new ToldProofs(stored.info, judge);
    this.lastProgressMs = nowMs;
    this.askedOfPeersMs = nowMs;
    this.waitingSinceMs = nowMs;
    this.usedMs = nowMs;
  }

  /** The pieces are gone: the digest is computed anew. */
  restartCheck(): void {
    this.verified = false;
    this.check.stop();
    this.check = new DigestCheck(this.stored, this.#pool);
  }

  /** A client now waits for this piece. */
  waitFor(piece: number, nowMs: number): void {
    if (this.cursor !== piece) this.waitingSinceMs = nowMs;
    this.cursor = piece;
  }

  /** This process did nothing for so long, so nobody kept the blob waiting. */
  stoodStill(ms: number, nowMs: number): void {
    this.lastProgressMs += Math.min(ms, nowMs - this.lastProgressMs);
    this.waitingSinceMs += Math.min(ms, nowMs - this.waitingSinceMs);
  }

  /** When it was last of use: what is fetched ahead of its reader is for as long as it grows. */
  get ofUseMs(): number {
    return this.prefetched ? Math.max(this.usedMs, this.lastProgressMs) : this.usedMs;
  }

  get info(): BlobInfo {
    return this.stored.info;
  }

  /** It is not stored, only passed on to the one client that reads it. */
  get passing(): PassingBlob | undefined {
    return this.stored instanceof PassingBlob ? this.stored : undefined;
  }

  get digest(): Digest {
    return this.stored.info.digest;
  }

  /** The proof to hold a piece against: of the stored piece, or as told by a neighbour. */
  proof(index: number): PieceProof | undefined {
    return this.stored.proof(index) ?? this.#told.get(index);
  }

  /** The same for a piece that is about to be fetched: one whose signature is what it says. */
  trustedProof(index: number): PieceProof | undefined {
    return this.stored.proof(index) ?? this.#told.trusted(index);
  }

  /**
   * Notes a neighbour's proof. What a supernode, which read the registry itself, has signed (or told, where nobody signs)
   * overrides what others did.
   * @returns whether a piece that matches this proof is one we want
   */
  learn(proof: PieceProof, teller: Teller): boolean {
    if (proof.index >= this.info.pieces || this.#refused.has(proof.generation)) return false;
    const standing = this.#judge?.standing(proof, this.digest, teller.id);
    if (this.#judge !== undefined && standing === undefined) return false;
    const fromSupernode = this.#judge === undefined ? teller.role === 'supernode' : standing === 'supernode';
    if (this.#suspected.has(proof.generation) && !fromSupernode) return false;
    const stored = this.stored.proof(proof.index);
    if (stored === undefined) return this.#told.note(proof, teller);
    if (sameBytes(stored.hash, proof.hash)) return true;
    this.#judge?.compare(this.info, stored, proof);
    return false;
  }

  /** A neighbour has a piece that we want. */
  noteKnown(index: number, nowMs: number): void {
    if (!this.#knownMs.has(index)) this.#knownMs.set(index, nowMs);
  }

  /** The piece is stored with its proof: the told one is no longer needed. @returns since when a neighbour had it */
  settle(index: number): { readonly knownMs?: number } {
    const knownMs = this.#knownMs.get(index);
    this.#knownMs.delete(index);
    this.#told.settle(index);
    return knownMs === undefined ? {} : { knownMs };
  }

  /** A verified piece is being written: clients that wait for it need not wait for the disk. */
  land(index: number, landing: LandingPiece): void {
    this.#landing.set(index, landing);
    const ended = (): void => {
      if (this.#landing.get(index) === landing) this.#landing.delete(index);
    };
    landing.written.then(ended, ended);
    this.changed();
  }

  landing(index: number): LandingPiece | undefined {
    return this.#landing.get(index);
  }

  /** The reads of the registry that the pieces here come from. */
  generations(): ReadonlySet<string> {
    const found = new Set<string>();
    for (let index = 0; index < this.info.pieces; index++) {
      const proof = this.stored.proof(index);
      if (proof !== undefined) found.add(proof.generation);
    }
    return found;
  }

  /** A supernode found these reads of the registry wrong. */
  blame(generations: Iterable<string>): void {
    for (const generation of generations) this.#blamed.add(generation);
    this.refuse(this.#blamed);
  }

  /** The whole digest failed: these reads of the registry are not believed again. */
  refuse(generations: Iterable<string>): void {
    for (const generation of generations) this.#refused.add(generation);
    this.#told.drop(({ generation }) => this.#refused.has(generation));
  }

  /**
   * Of these reads, refused together, not all need be to blame: each that a supernode has not blamed is believed again,
   * but only from a supernode, which finds out by itself what it has read wrong.
   */
  suspect(generations: Iterable<string>): void {
    for (const generation of generations) {
      if (!this.#blamed.has(generation)) this.#refused.delete(generation);
      this.#suspected.add(generation);
    }
  }

  refuses(generation: string): boolean {
    return this.#refused.has(generation);
  }

  /** Wakes everyone who waits for more of this blob. */
  changed(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  /** Resolves at the next {@link changed}. @throws ABORTED */
  nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortedError(signal));
        return;
      }
      const onAbort = (): void => {
        this.#waiters.delete(wake);
        reject(abortedError(signal));
      };
      const wake = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
