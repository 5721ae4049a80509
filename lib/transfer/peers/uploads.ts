import type { Digest } from '../../core/digest.ts';
import { pieceOfRange } from '../../core/geometry.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Pace } from '../../runtime/rate-limit.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { Grants } from '../rights/grants.ts';
import type { PieceAdmission, PieceRequest } from '../seams.ts';
import type { Neighbour } from './neighbour.ts';

export interface UploadsDeps {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Of all uploads together. */
  readonly pace?: Pace;
  /** Who may get which blobs. @default whoever asks */
  readonly grants?: Pick<Grants, 'allows'> | undefined;
}

export interface UploadsHost {
  neighbour(id: string): Neighbour | undefined;
  blob(digest: Digest): SharedBlob | undefined;
  /** Takes an upload slot of the core. @returns whether there was one for this neighbour */
  admit(neighbour: Neighbour, blob: SharedBlob, piece: number): boolean;
  freeSlots(neighbour: Neighbour): number;
  /** An upload to the neighbour needs its slot no more. */
  ended(neighbour: Neighbour): void;
}

/**
 * Answers piece requests, and gives each slot back exactly once, also when the link goes before the upload ends, or the
 * receiver takes nothing any more.
 */
export class Uploads {
  readonly #deps: UploadsDeps;
  readonly #host: UploadsHost;
  readonly #active = new Map<Neighbour, number>();
  #total = 0;

  constructor(deps: UploadsDeps, host: UploadsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** Only linked neighbours get pieces, only whole ones, and only those that are verified and here. */
  answer(request: Omit<PieceRequest, 'address'>): PieceAdmission {
    const host = this.#host;
    const neighbour = host.neighbour(request.from);
    const blob = host.blob(request.digest);
    if (neighbour === undefined || blob === undefined) return { kind: 'unknown' };
    if (this.#deps.grants?.allows(neighbour.peer, request.digest) === false) return { kind: 'unknown' };
    const piece = pieceOfRange(blob.info, request.range);
    if (piece === undefined || !blob.stored.have.has(piece)) return { kind: 'unknown' };
    if (!host.admit(neighbour, blob, piece)) return { kind: 'busy', freeSlots: host.freeSlots(neighbour) };
    blob.usedMs = this.#deps.clock.now();
    return this.#serve(neighbour, blob);
  }

  #serve(neighbour: Neighbour, blob: SharedBlob): PieceAdmission {
    const { stored } = blob;
    const { metrics, pace } = this.#deps;
    this.#active.set(neighbour, (this.#active.get(neighbour) ?? 0) + 1);
    metrics.uploadsActive.set(++this.#total);
    blob.uploads++;
    let holdsSlot = true;
    const release = (): void => {
      const count = this.#active.get(neighbour);
      if (!holdsSlot || count === undefined) return;
      holdsSlot = false;
      if (count === 1) this.#active.delete(neighbour);
      else this.#active.set(neighbour, count - 1);
      this.#host.ended(neighbour);
    };
    return {
      kind: 'serve',
      size: stored.info.size,
      read: (offset, into) => stored.read(offset, into),
      pace,
      idle: release,
      done: (sentBytes) => {
        metrics.uploadsActive.set(--this.#total);
        blob.uploads--;
        metrics.sentBytes.inc({ to: 'peer' }, sentBytes);
        release();
      },
    };
  }

  /** The neighbour is gone. @returns how many of its uploads the core still counts */
  forget(neighbour: Neighbour): number {
    const count = this.#active.get(neighbour) ?? 0;
    this.#active.delete(neighbour);
    return count;
  }
}
