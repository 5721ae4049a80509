import type { Digest } from '../../lib/core/digest.ts';
import { pieceHash } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import { pieceLength, pieceOffset } from '../../lib/core/geometry.ts';
import { sameBytes } from '../../lib/core/proof.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import type { MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import type { MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { BlobSummary } from '../../lib/store/store.ts';

export interface AuditInput {
  readonly folder: string;
  /** What a crash left. The audit takes its own copy. */
  readonly disk: MemoryDisk;
  readonly keyValue: MemoryKeyValue;
  /** What the store said that it had, when it died. */
  readonly before: readonly BlobSummary[];
  /** Which of that is to have survived: all, as after a kill; what was complete, as after a power cut; or nothing. */
  readonly survives: 'all' | 'complete' | 'nothing';
  readonly truthOf: (digest: Digest) => Uint8Array | undefined;
  /** Pieces of this blob need only match their proofs: the registry lied. */
  readonly mayLie: (digest: Digest) => boolean;
}

/**
 * Opens what a crash left as the next start would, and reads all of it. Moves no time and changes nothing.
 * @returns what is wrong with it
 */
export async function audit(input: AuditInput): Promise<string | undefined> {
  const { before, folder, mayLie, survives, truthOf } = input;
  const disk = input.disk.crash();
  const keyValue = input.keyValue.crash(Number.POSITIVE_INFINITY);
  const clock = new FakeClock();
  const store = await openBlobStore({
    disk,
    keyValue,
    log: silentLog(),
    clock,
    wallClockMs: () => 0,
    folder,
  });
  const listed = [...store.list()];
  for (const { info, complete } of listed) {
    const truth = truthOf(info.digest);
    const blob = await store.open(info.digest);
    if (blob === undefined || truth === undefined) continue;
    for (let index = 0; index < info.pieces; index++) {
      if (!blob.have.has(index)) continue;
      const bytes = new Uint8Array(pieceLength(info, index));
      const proof = blob.proof(index);
      try {
        await blob.read(pieceOffset(info, index), bytes);
      } catch (error) {
        // Found out in time: it is absent.
        if (hasCode(error, 'PIECE_MISMATCH')) continue;
        throw error;
      }
      const right = truth.subarray(pieceOffset(info, index), pieceOffset(info, index) + bytes.length);
      if (Buffer.compare(bytes, right) === 0) continue;
      if (proof === undefined || !sameBytes(pieceHash(bytes), proof.hash)) {
        return `piece ${index} of ${info.digest} does not match its proof, and is read all the same`;
      }
      if (mayLie(info.digest) && !complete) continue;
      return `piece ${index} of ${info.digest}${complete ? ', which is complete,' : ''} is wrong`;
    }
    await blob.close();
  }
  if (survives === 'nothing') return undefined;
  for (const { info, bytes, complete } of before) {
    if (survives === 'complete' && !complete) continue;
    const blob = await store.open(info.digest);
    const left = store.get(info.digest)?.bytes ?? 0;
    await blob?.close();
    if (left < bytes) return `${bytes} bytes of ${info.digest} were held, ${left} are left`;
    if (complete && blob?.complete !== true) return `${info.digest} was complete, and is not any more`;
  }
  return undefined;
}
