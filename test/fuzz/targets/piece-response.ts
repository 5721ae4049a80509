import { parsePieceResponse } from '../../../lib/transfer/http/piece-response.ts';
import type { FuzzTarget } from '../target.ts';

const ok = 'HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/100';

export const target: FuzzTarget = {
  about: 'the head of a peer’s answer to a piece request',
  parsers: { 'lib/transfer/http/piece-response.ts': ['*'] },
  form: 'text',
  corpus: [
    ok,
    `${ok}\r\nConnection: close`,
    'HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 0-8/100',
    'HTTP/1.1 206 Partial Content\r\nContent-Length: 9',
    'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nDamselfly-Free-Slots: 3',
    'HTTP/1.1 404 Not Found\r\nContent-Length: 0',
    'HTTP/1.1 200 OK',
    `${ok}\r\nTransfer-Encoding: chunked`,
    `${ok}\r\nA: 1\r\na: 2`,
    `${ok}\r\n folded`,
    'HTTP/1.0 200',
  ],
  words: [
    '\r\n',
    ':',
    ' ',
    '\t',
    'Content-Length',
    'Transfer-Encoding',
    'chunked',
    '206',
    '\n',
    '\u0000',
    'HTTP/1.1 ',
  ],
  maxBytes: 16 * 1024,
  refuses: ['PEER_PROTOCOL'],
  parse: (input) => parsePieceResponse(input.toString('latin1'), { start: 0, end: 10 }),
};
