import type { Rng } from '../../lib/runtime/rng.ts';

/** Bytes at which parsers err: ends of ranges, signs, separators, and the lead bytes of UTF-8. */
const TELLING = [
  0, 1, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2d, 0x2f, 0x3a, 0x7f, 0x80, 0xc0, 0xe2, 0xf4, 0xfe, 0xff,
];
const MAX_STRETCH = 64;
const MAX_COPIES = 64;

/** One change of some bytes. @param others what a stretch may be taken from */
export function mutateBytes(rng: Rng, input: Buffer, others: readonly Buffer[]): Buffer {
  const at = rng.int(input.length + 1);
  const length = Math.min(1 + rng.int(MAX_STRETCH), input.length - at);
  switch (rng.int(8)) {
    case 0:
      return changed(input, at, (byte) => byte ^ (1 << rng.int(8)));
    case 1:
      return changed(input, at, () => TELLING[rng.int(TELLING.length)] ?? 0);
    case 2:
      return changed(input, at, () => rng.int(256));
    case 3:
      return spliced(input, at, length, Buffer.alloc(0));
    case 4:
      return spliced(input, at, 0, randomBytes(rng, 1 + rng.int(16)));
    case 5:
      return spliced(input, at, 0, repeated(input.subarray(at, at + length), 1 + rng.int(MAX_COPIES)));
    case 6: {
      const other = others[rng.int(others.length)] ?? input;
      const from = rng.int(other.length + 1);
      return spliced(input, at, length, other.subarray(from, from + rng.int(MAX_STRETCH)));
    }
    default:
      return input.subarray(0, at);
  }
}

export function randomBytes(rng: Rng, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = rng.int(256);
  return bytes;
}

/** A stretch of the input again and again, up to `maxBytes`: what costs more than its length shows. */
export function inflate(rng: Rng, input: Buffer, maxBytes: number): Buffer {
  const at = rng.int(input.length + 1);
  const stretch = input.subarray(at, at + 1 + rng.int(MAX_STRETCH));
  const room = Math.max(0, maxBytes - input.length);
  const copies = stretch.length === 0 ? 0 : Math.floor((room * rng.float()) / stretch.length);
  return spliced(input, at, 0, repeated(stretch, copies));
}

export function spliced(input: Buffer, at: number, length: number, insert: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), insert, input.subarray(at + length)]);
}

function repeated(bytes: Buffer, copies: number): Buffer {
  const all = Buffer.alloc(bytes.length * copies);
  for (let copy = 0; copy < copies; copy++) bytes.copy(all, copy * bytes.length);
  return all;
}

function changed(input: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(input);
  if (at < copy.length) copy[at] = change(copy[at] ?? 0);
  return copy;
}
