import { DamselflyError } from '../../../lib/core/errors.ts';
import { hostHeader } from '../../../lib/transfer/http/connect.ts';
import {
  formatPieceRequest,
  PIECE_PATH,
  parsePieceRequest,
} from '../../../lib/transfer/http/piece-request.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const from = 'a1'.repeat(20);

export const target: FuzzTarget = {
  about: 'what peers ask of the peer port for a piece: path, Range and node, a line each',
  parsers: {
    'lib/transfer/http/piece-request.ts': ['parsePieceRequest', 'formatPieceRequest'],
    'lib/transfer/http/connect.ts': ['hostHeader'],
  },
  form: 'text',
  corpus: [
    `${PIECE_PATH}${digest}\nbytes=0-16777215\n${from}`,
    `${PIECE_PATH}${digest}\nbytes=5-3\n${from}`,
    `${PIECE_PATH}${digest}\nbytes=0-99999999\n${from}`,
    `${PIECE_PATH}sha256:1\nbytes=0-1\n${from}`,
    `${PIECE_PATH}${digest}\n\n`,
  ],
  words: ['bytes=', '-', '0', '9'.repeat(15), '\n', '..', 'sha256:', '\r', '%0d%0a', ' '],
  parse: (input) => {
    const [path = '', range, node] = input.toString('latin1').split('\n');
    try {
      promise(
        /^[\w.:%[\]-]+$/.test(hostHeader({ host: path, port: 1 })),
        'nothing slips into a request with an address',
      );
    } catch (error) {
      if (!(error instanceof DamselflyError)) throw error;
    }
    const request = parsePieceRequest({ path, range, node });
    if (request === undefined) return;
    const head = formatPieceRequest({ ...request, address: { host: 'fe80::1%eth0', port: 1 } });
    promise(head.split('\r\n').length === 6, 'what was read makes one request');
    promise(request.range.end - request.range.start <= 16 * 1024 * 1024, 'a request is for one piece');
  },
};
