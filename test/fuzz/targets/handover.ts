import { decodeHandover, MAX_LINE_CHARS } from '../../../dfget/daemon/handover/handover-message.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'what a daemon that takes the place of another says to it, and is told, a line each',
  parsers: { 'dfget/daemon/handover/handover-message.ts': ['decodeHandover'] },
  form: 'json',
  corpus: [
    JSON.stringify({ type: 'take', pid: 1, version: '0.1.0' }),
    '{"type":"released"}',
    '{"type":"serving"}',
    JSON.stringify({ type: 'refused', message: 'another handover is under way' }),
    'null',
    '{',
  ],
  beyond: [`{"type":"serving","x":"${'x'.repeat(MAX_LINE_CHARS)}"}`],
  parse: (input) => {
    const message = decodeHandover(input.toString());
    promise(
      message?.type !== 'take' || (message.pid >= 1 && message.version.length <= 256),
      'a take is whole',
    );
  },
};
