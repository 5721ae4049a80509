import { DamselflyError } from '../../lib/core/errors.ts';

/** Why a file is left as it is, and what its owner can do. */
export function refuse(path: string, why: string): never {
  throw new DamselflyError('SETUP_REFUSED', `${path}: ${why}; nothing was changed`, { path });
}
