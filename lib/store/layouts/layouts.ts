import type { PieceProof } from '../../core/proof.ts';
import { HeldPieces } from '../held-pieces.ts';
import type { KeyValueOperation } from '../key-value/key-value.ts';
import {
  BLOB_PREFIX,
  blobKey,
  CHUNK_PIECES,
  chunkOfKey,
  decodeBlobRecord,
  encodeBlobRecord,
  pieceKey,
} from '../record.ts';
import { decodeBlob1, decodePiece1, encodeBlob1, type PortableBlob } from './layout-1.ts';

/** The records of one blob: its own, and those of its pieces. */
export interface BlobRecords {
  readonly digest: string;
  readonly blob: Uint8Array;
  readonly pieces: readonly (readonly [key: string, value: Uint8Array])[];
}

/** One version of the records of a data directory. */
export interface Layout {
  /** @returns undefined for what is not of this layout, or lacks what a blob needs */
  readonly decode: (records: BlobRecords) => PortableBlob | undefined;
  /** @returns undefined when this layout has no place for the blob */
  readonly encode: (blob: PortableBlob) => KeyValueOperation[] | undefined;
}

/** The run of the machine is not known any more: what was not synced is held against its proofs. */
const UNKNOWN_BOOT = 0;

const layout1: Layout = {
  decode({ blob, digest, pieces }) {
    const found = decodeBlob1(digest, blob);
    if (found === undefined) return undefined;
    const { held, ...rest } = found;
    const proofs = pieces.flatMap(([key, value]): PieceProof[] => {
      const index = chunkOfKey(key);
      const proof = held(index) && index < rest.info.pieces ? decodePiece1(index, value) : undefined;
      return proof === undefined ? [] : [proof];
    });
    return wholeOrNothing({ ...rest, proofs });
  },
  encode: (blob) => (blob.info.digest.startsWith('url:') ? undefined : encodeBlob1(blob)),
};

const layout2: Layout = {
  decode({ blob, digest, pieces }) {
    const found = decodeBlobRecord(BLOB_PREFIX + digest, blob);
    if (found === undefined) return undefined;
    const { complete, info, pinned, synced, usedAtMs } = found;
    const table = new HeldPieces(info);
    for (const [key, value] of pieces) table.load(chunkOfKey(key), value);
    const proofs: PieceProof[] = [];
    for (let index = 0; index < info.pieces; index++) {
      if (table.marked.has(index) && (complete || table.have.has(index))) proofs.push(table.proof(index));
    }
    return wholeOrNothing({ complete, info, pinned, synced, usedAtMs, proofs });
  },
  encode({ complete, info, pinned, proofs, synced, usedAtMs }) {
    const table = new HeldPieces(info);
    for (const proof of proofs) {
      table.mark(proof);
      table.hold(proof.index);
    }
    const value = encodeBlobRecord({
      ...{ info, complete, synced, pinned, usedAtMs, heldBytes: table.bytes, boot: UNKNOWN_BOOT },
    });
    const chunks = new Set(proofs.map(({ index }) => Math.floor(index / CHUNK_PIECES)));
    return [
      { type: 'put', key: blobKey(info.digest), value },
      ...Array.from(chunks, (chunk): KeyValueOperation => {
        return { type: 'put', key: pieceKey(info.digest, chunk), value: table.encode(chunk) };
      }),
    ];
  },
};

/** Every layout that there was, by its number. */
export const LAYOUTS: ReadonlyMap<number, Layout> = new Map([
  [1, layout1],
  [2, layout2],
]);

/** A complete blob without the proof of a piece is of no use: it can be fetched again. */
function wholeOrNothing(blob: PortableBlob): PortableBlob | undefined {
  return blob.complete && blob.proofs.length < blob.info.pieces ? undefined : blob;
}
