import { DamselflyError } from '../../core/errors.ts';
import type { ByteRange } from '../../core/range.ts';
import { FREE_SLOTS_HEADER } from './piece-request.ts';

/** What the head of an answer to a piece request says. */
export type PieceResponse =
  /** Exactly the bytes asked for follow. */
  | { readonly kind: 'bytes'; readonly keepAlive: boolean }
  /** The peer will not send them: PEER_BUSY or BLOB_UNKNOWN. */
  | { readonly kind: 'refused'; readonly error: DamselflyError; readonly keepAlive: boolean };

/**
 * Reads a whole response head (RFC 9112), stricter than HTTP allows, because only our own server answers: a head that
 * could be read in two ways is refused.
 * @param head everything before the empty line
 * @throws PEER_PROTOCOL
 */
export function parsePieceResponse(head: string, range: ByteRange): PieceResponse {
  const [statusLine = '', ...lines] = head.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: [\x20-\x7e]*)?$/.exec(statusLine)?.[1];
  if (status === undefined) throw badResponse('no HTTP/1.1 status line');
  const headers = parseHeaders(lines);
  if (headers.has('transfer-encoding')) throw badResponse('a chunked answer');
  const keepAlive = headers.get('connection')?.toLowerCase() !== 'close';
  const contentLength = headers.get('content-length') ?? '';
  switch (status) {
    case '206': {
      if (contentLength !== String(range.end - range.start)) {
        throw badResponse('a Content-Length not asked for');
      }
      const contentRange = /^bytes (\d{1,16})-(\d{1,16})\/\d{1,16}$/.exec(headers.get('content-range') ?? '');
      if (Number(contentRange?.[1]) !== range.start || Number(contentRange?.[2]) !== range.end - 1) {
        throw badResponse('a Content-Range not asked for');
      }
      return { kind: 'bytes', keepAlive };
    }
    case '503': {
      const text = headers.get(FREE_SLOTS_HEADER.toLowerCase()) ?? '';
      const freeSlots = /^\d{1,3}$/.test(text) ? Number(text) : 0;
      const error = new DamselflyError('PEER_BUSY', 'the peer has no free upload slot', { freeSlots });
      return { kind: 'refused', error, keepAlive: keepAlive && contentLength === '0' };
    }
    case '404': {
      const error = new DamselflyError('BLOB_UNKNOWN', 'the peer does not have the blob');
      return { kind: 'refused', error, keepAlive: keepAlive && contentLength === '0' };
    }
    default:
      throw badResponse(`status ${status}`);
  }
}

export function badResponse(what: string): DamselflyError {
  return new DamselflyError('PEER_PROTOCOL', `a peer answered a piece request with ${what}`);
}

/** Lower-case names. Folded lines, repeated names and spaces before the colon are refused. */
function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*$/.exec(line);
    if (match === null) throw badResponse('a malformed header');
    const [, name = '', value = ''] = match;
    const key = name.toLowerCase();
    if (headers.has(key)) throw badResponse('a repeated header');
    headers.set(key, value);
  }
  return headers;
}
