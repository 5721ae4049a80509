import { randomBytes } from 'node:crypto';
import { createRng, type Rng } from './rng.ts';

/** A generator seeded by the operating system. Not for keys or tokens: use node:crypto for those. */
export function createSystemRng(): Rng {
  return createRng(randomBytes(6).readUIntBE(0, 6));
}
