import { createHash, hash } from 'node:crypto';
import bencode from 'bencode';
import { abortedError } from '../../lib/core/errors.ts';
import { pieceBytesFor } from '../../lib/core/geometry.ts';
import type { SharedContent } from './shared-content.ts';

/** SHA-1, as BEP 3 has it. */
const PIECE_HASH_BYTES = 20;

/** A file as BitTorrent knows it (BEP 3), private (BEP 27): peers come from its trackers and from nowhere else. */
export interface TorrentInfo {
  readonly name: string;
  readonly size: number;
  /** The store's own piece size for a blob of that size. */
  readonly pieceBytes: number;
  /** SHA-1 of each piece, one after the other. */
  readonly pieceHashes: Uint8Array;
}

/**
 * Reads all of the content once, for its piece hashes.
 * @throws ABORTED, and what the content throws
 */
export async function hashContent(
  name: string,
  content: SharedContent,
  signal: AbortSignal,
): Promise<{ readonly info: TorrentInfo; readonly sha256: string }> {
  const { size } = content;
  const pieceBytes = pieceBytesFor(size);
  const pieces = Math.ceil(size / pieceBytes);
  const pieceHashes = new Uint8Array(pieces * PIECE_HASH_BYTES);
  const whole = createHash('sha256');
  const buffer = new Uint8Array(Math.min(pieceBytes, size));
  for (let index = 0; index < pieces; index++) {
    if (signal.aborted) throw abortedError(signal);
    const offset = index * pieceBytes;
    const piece = buffer.subarray(0, Math.min(pieceBytes, size - offset));
    await content.read(offset, piece);
    pieceHashes.set(hash('sha1', piece, 'buffer'), index * PIECE_HASH_BYTES);
    whole.update(piece);
  }
  return { info: { name, size, pieceBytes, pieceHashes }, sha256: whole.digest('hex') };
}

/** Names the torrent: SHA-1 of its `info` dictionary, 40 hex digits. */
export function infoHashOf(info: TorrentInfo): string {
  return hash('sha1', bencode.encode(infoDictionary(info)), 'hex');
}

/** The bytes of a `.torrent` file. */
export function torrentFile(
  info: TorrentInfo,
  { announce, comment }: { readonly announce: readonly string[]; readonly comment: string },
): Uint8Array {
  return bencode.encode({
    announce: announce[0] ?? '',
    'announce-list': announce.map((url) => [url]),
    comment,
    'created by': 'Damselfly',
    info: infoDictionary(info),
  });
}

function infoDictionary({ name, pieceBytes, pieceHashes, size }: TorrentInfo): object {
  return { length: size, name, 'piece length': pieceBytes, pieces: pieceHashes, private: 1 };
}
