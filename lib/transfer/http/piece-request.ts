import { isBlobKey } from '../../core/digest.ts';
import type { PieceRequest } from '../seams.ts';
import { hostHeader } from './connect.ts';

export const PIECE_PATH = '/v1/blobs/';
export const NODE_HEADER = 'Damselfly-Node';
export const FREE_SLOTS_HEADER = 'Damselfly-Free-Slots';
/** The largest piece there can be (lib/wire); more in one request would let a peer keep a slot for as long as it likes. */
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

/**
 * The head of a piece request, and all of it: a GET has no body.
 * @throws PEER_UNREACHABLE when the address is not one
 */
export function formatPieceRequest(request: PieceRequest): string {
  const { address, digest, from, range } = request;
  return (
    `GET ${PIECE_PATH}${digest} HTTP/1.1\r\n` +
    `Host: ${hostHeader(address)}\r\n` +
    `Range: bytes=${range.start}-${range.end - 1}\r\n` +
    `${NODE_HEADER}: ${from}\r\n\r\n`
  );
}

/** The parts of a received request that make up a piece request; undefined when they are not one. */
export function parsePieceRequest(received: {
  readonly path: string;
  readonly range: string | undefined;
  readonly node: string | undefined;
}): Omit<PieceRequest, 'address'> | undefined {
  const digest = received.path.slice(PIECE_PATH.length);
  const range = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(received.range ?? '');
  const from = received.node ?? '';
  if (!isBlobKey(digest) || range === null || !/^[\w-]{1,64}$/.test(from)) return undefined;
  const start = Number(range[1]);
  const end = Number(range[2]) + 1;
  if (start >= end || end - start > MAX_REQUEST_BYTES) return undefined;
  return { digest: digest, range: { start, end }, from };
}
