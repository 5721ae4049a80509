import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import { inflate, mutateBytes, randomBytes } from './mutate-bytes.ts';
import { mutateJson } from './mutate-json.ts';
import { mutateText } from './mutate-text.ts';
import { type FuzzTarget, maxBytesOf } from './target.ts';

/** One input in so many is as long as the target allows. */
const LARGE_EVERY = 400;
const MAX_CHANGES = 6;
const MAX_RANDOM_BYTES = 300;

/** The inputs of one target. The same seed and index give the same input, whatever came before. */
export interface Inputs {
  /** So many are the corpus as it is, before those that are made of it. */
  readonly first: number;
  at(index: number): Buffer;
  isLarge(index: number): boolean;
}

/** @param more besides the target's own corpus: what was once found */
export function createInputs(target: FuzzTarget, more: readonly Uint8Array[], seed: number): Inputs {
  const corpus = [...target.corpus, ...more].map((each) => Buffer.from(each as Uint8Array));
  const whole = [...corpus, ...(target.beyond ?? []).map((each) => Buffer.from(each as Uint8Array))];
  const maxBytes = maxBytesOf(target);
  const isLarge = (index: number): boolean => index >= whole.length && index % LARGE_EVERY === 0;
  const generate = (index: number): Buffer => {
    const rng = createRng((seed % 2 ** 20) * 2 ** 32 + index);
    const kind = rng.int(20);
    if (kind === 0) return randomInput(rng, target);
    let input: Buffer = corpus[rng.int(corpus.length)] ?? Buffer.alloc(0);
    if (target.form === 'json' && kind < 15) input = changedTree(rng, input);
    else {
      for (let changes = 1 + rng.int(MAX_CHANGES); changes > 0; changes--) {
        const byWords = target.form !== 'bytes' && rng.int(3) > 0;
        input = byWords ? mutateText(rng, input, target.words ?? []) : mutateBytes(rng, input, corpus);
      }
    }
    return isLarge(index) ? inflate(rng, input, maxBytes) : input;
  };
  return {
    first: whole.length,
    isLarge,
    at: (index) => whole[index] ?? generate(index).subarray(0, maxBytes),
  };
}

function randomInput(rng: Rng, { form, words = [] }: FuzzTarget): Buffer {
  const length = rng.int(MAX_RANDOM_BYTES);
  if (form === 'bytes' || words.length === 0 || rng.int(2) === 0) return randomBytes(rng, length);
  return Buffer.from(Array.from({ length: length / 4 }, () => words[rng.int(words.length)]).join(''));
}

function changedTree(rng: Rng, input: Buffer): Buffer {
  let tree: unknown;
  try {
    tree = JSON.parse(input.toString());
  } catch {
    return mutateBytes(rng, input, [input]);
  }
  for (let changes = 1 + rng.int(MAX_CHANGES); changes > 0; changes--) tree = mutateJson(rng, tree);
  return Buffer.from(JSON.stringify(tree) ?? '');
}
