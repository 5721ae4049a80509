import type { Rng } from '../../lib/runtime/rng.ts';
import { spliced } from './mutate-bytes.ts';

const MAX_COPIES = 20;

/** One change of a text: a word put in or in the place of another, lines that go, come twice or change places. */
export function mutateText(rng: Rng, input: Buffer, words: readonly string[]): Buffer {
  const word = Buffer.from(words[rng.int(words.length)] ?? '');
  const at = rng.int(input.length + 1);
  switch (rng.int(5)) {
    case 0:
      return spliced(input, at, 0, word);
    case 1:
      return spliced(input, at, Math.min(input.length - at, word.length), word);
    case 2: {
      const lines = input.toString('latin1').split('\n');
      const line = lines[rng.int(lines.length)] ?? '';
      const copies = Array.from({ length: 1 + rng.int(MAX_COPIES) }, () => line);
      lines.splice(rng.int(lines.length + 1), rng.int(2), ...copies);
      return Buffer.from(lines.join('\n'), 'latin1');
    }
    case 3: {
      const lines = input.toString('latin1').split('\n');
      lines.splice(rng.int(lines.length), 1);
      return Buffer.from(lines.join('\n'), 'latin1');
    }
    default: {
      const lines = input.toString('latin1').split('\n');
      const [line = ''] = lines.splice(rng.int(lines.length), 1);
      lines.splice(rng.int(lines.length + 1), 0, line);
      return Buffer.from(lines.join('\n'), 'latin1');
    }
  }
}
