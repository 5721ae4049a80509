import type { Hash } from 'node:crypto';
import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PieceProof } from '../../core/proof.ts';
import type { ByteRange } from '../../core/range.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics, Source } from '../../observe/metrics.ts';
import type { PieceWay, Trace } from '../../observe/trace.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { PieceBuffer } from '../buffer-pool.ts';
import type { ProofJudge } from '../proofs/proof-judge.ts';
import type { SharedBlob } from './shared-blob.ts';

const READ_BYTES = 1024 * 1024;
/**
 * By then supernodes have found out which of their reads was wrong, and dropped it: they check a blob when they have copied
 * the rest of it from each other, which on full links is long after nodes have it. Who believed it sooner would take it once
 * more, be wrong twice, and leave the swarm. Meanwhile one node reads it again for all, under a lease.
 */
const BELIEVED_AGAIN_MS = 30_000;

export interface PieceSinkDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
  /** Hears which pieces were wrong, and which were right. */
  readonly judge?: ProofJudge | undefined;
}

export interface PieceSinkEvents {
  /** The whole digest matched and the blob is committed. */
  complete(blob: SharedBlob): void;
  /** The whole digest did not match; every piece is gone again. @param generations the reads they came from */
  wrong(blob: SharedBlob, generations: readonly string[]): void;
  /**
   * Whether `wrong` has all of these reads dropped everywhere. Without that others go on with those that were right, and
   * so must we.
   */
  readonly dropsEverywhere: boolean;
}

/** Where verified pieces go, wherever they came from: disk, whole-blob digest, and everyone who waits. */
export class PieceSink {
  readonly #deps: PieceSinkDeps;
  readonly #events: PieceSinkEvents;

  constructor(deps: PieceSinkDeps, events: PieceSinkEvents) {
    this.#deps = deps;
    this.#events = events;
  }

  /**
   * Stores a piece that matched its proof. The caller releases its memory. A second copy is dropped.
   * @param onStored called once the piece is on disk, before its bytes go into the digest of the whole blob: neighbours
   * need not wait for that; never for a second copy
   * @throws STORE_FULL, STORE_FAILED; ABORTED when the read that it comes from turned out wrong
   */
  async accept(
    blob: SharedBlob,
    proof: PieceProof,
    piece: PieceBuffer,
    source: Source,
    way: PieceWay = {},
    onStored?: () => void,
  ): Promise<void> {
    const { clock, metrics, trace } = this.#deps;
    if (blob.stored.have.has(proof.index)) return;
    // A copy that comes while the first one is written is of no more use than one that comes later.
    const first = blob.landing(proof.index);
    if (first !== undefined) {
      await first.written;
      if (blob.stored.have.has(proof.index)) return;
    }
    if (!blob.refuses(proof.generation)) {
      const written = blob.stored.write(proof, piece.bytes);
      blob.land(proof.index, { piece, written });
      await written;
    }
    if (!blob.stored.have.has(proof.index)) throw new DamselflyError('ABORTED', 'the read was wrong');
    const known = blob.settle(proof.index);
    blob.lastProgressMs = clock.now();
    if (source === 'origin') blob.registryBytes += piece.bytes.length;
    if (source === 'supernode') blob.lastSupernodeMs = blob.lastProgressMs;
    metrics.receivedBytes.inc({ source }, piece.bytes.length);
    const { generation, index } = proof;
    const facts = { digest: blob.digest, index, source, bytes: piece.bytes.length, generation };
    trace?.(blob.lastProgressMs, { kind: 'piece', ...facts, ...known, ...way });
    onStored?.();
    blob.check.offer(proof.index, piece);
    blob.changed();
    void this.check(blob);
  }

  /** Goes on with the whole-blob digest as far as pieces reach, and commits or refuses the blob at its end. */
  check(blob: SharedBlob): Promise<void> {
    blob.checkAgain = true;
    blob.checking ??= this.#checkWhileNew(blob);
    return blob.checking;
  }

  async #checkWhileNew(blob: SharedBlob): Promise<void> {
    try {
      while (blob.checkAgain) {
        blob.checkAgain = false;
        await this.#checkOnce(blob);
      }
    } catch (error) {
      blob.failure =
        error instanceof DamselflyError ? error : new DamselflyError('INTERNAL', describeError(error));
      this.#deps.log.warn(
        { digest: blob.digest, error: describeError(error) },
        'blob could not be checked or committed',
      );
    }
    // In the same turn as the last look at `checkAgain`, so that no piece falls between.
    blob.checking = undefined;
    blob.changed();
  }

  async #checkOnce(blob: SharedBlob): Promise<void> {
    const digest = await blob.check.advance();
    if (digest === undefined && !isUncommitted(blob)) return;
    if (digest !== undefined && digest !== blob.digest) {
      await this.#refuse(blob, digest);
      return;
    }
    // Readers need not wait for the disk.
    blob.verified = true;
    blob.changed();
    this.#deps.judge?.settle(blob.info, (index) => blob.stored.proof(index));
    await blob.stored.commit();
    this.#deps.trace?.(this.#deps.clock.now(), { kind: 'blob-complete', digest: blob.digest });
    if (blob.stored.complete) this.#events.complete(blob);
  }

  /**
   * Somebody else found these reads of the registry wrong. A blob that is complete here has matched its digest; one that
   * has nothing from them keeps what it has.
   */
  async disown(blob: SharedBlob, generations: readonly string[]): Promise<void> {
    // A check under way may end in the same finding, or show that the blob is right.
    while (blob.checking !== undefined) await blob.checking;
    const held = blob.generations();
    if (blob.stored.complete) return;
    blob.blame(generations);
    if (!generations.some((generation) => held.has(generation))) return;
    blob.checking = this.#refuse(blob, 'not known', generations)
      .catch((error: unknown) => {
        this.#deps.log.warn(
          { digest: blob.digest, error: describeError(error) },
          'wrong pieces could not be dropped',
        );
      })
      .finally(() => {
        blob.checking = undefined;
        blob.changed();
        if (blob.checkAgain) void this.check(blob);
      });
    await blob.checking;
  }

  async #refuse(blob: SharedBlob, actual: string, alsoWrong: readonly string[] = []): Promise<void> {
    const { clock, log, metrics, trace } = this.#deps;
    const facts = { expected: blob.digest, actual };
    metrics.piecesRejected.inc({ reason: 'whole-digest' }, blob.stored.have.count);
    log.warn(facts, 'every piece matched its proof but the blob does not match its digest: all dropped');
    trace?.(clock.now(), { kind: 'blob-failed', digest: blob.digest, code: 'DIGEST_MISMATCH' });
    blob.failure = new DamselflyError(
      'DIGEST_MISMATCH',
      'the bytes of the whole blob do not match its digest',
      facts,
    );
    const held = [...blob.generations()];
    const generations = [...held, ...alsoWrong];
    blob.refuse(generations);
    blob.changed();
    this.#deps.judge?.doubt(blob.info, heldProofs(blob));
    try {
      await blob.stored.reset();
    } finally {
      // Nothing of it is held any more, whether the disk could note that or not.
      blob.restartCheck();
      const several = held.length > 1 && !this.#events.dropsEverywhere;
      if (several) {
        const suspects = held.filter((generation) => !alsoWrong.includes(generation));
        clock.after(BELIEVED_AGAIN_MS, () => blob.suspect(suspects));
      }
      // Its slot in the core may be another blob's by now.
      if (!blob.retired) this.#events.wrong(blob, generations);
    }
  }

  /** The hash of the first `bytes` bytes, when the digest of the whole blob has come just so far. */
  async runningHash(blob: SharedBlob, bytes: number): Promise<Hash | undefined> {
    while (blob.checking !== undefined) await blob.checking;
    return blob.check.hashOf(bytes);
  }

  /** Adds bytes to a hash, all of which are held. @throws STORE_* when they are gone, or the disk fails */
  async hashHeld(blob: SharedBlob, { start, end }: ByteRange, hash: Hash): Promise<void> {
    for (let at = start; at < end; ) {
      const chunk = new Uint8Array(Math.min(READ_BYTES, end - at));
      await blob.stored.read(at, chunk);
      hash.update(chunk);
      at += chunk.length;
    }
  }
}

/** The digest has matched, and the disk could not note that. */
function isUncommitted({ passing, stored, verified }: SharedBlob): boolean {
  return verified && passing === undefined && stored.have.complete && !stored.complete;
}

function heldProofs({ info, stored }: SharedBlob): PieceProof[] {
  return Array.from({ length: info.pieces }, (_, index) => stored.proof(index)).filter(
    (each) => each !== undefined,
  );
}
