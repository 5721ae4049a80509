import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../lib/core/loopback.ts';

const LOCAL_NAMES = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
/** A proxy on this machine speaks for others. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip'] as const;

/**
 * Whether a request comes from this machine: directly, and by a local name, which keeps out pages elsewhere whose names
 * were made to lead here.
 */
export function comesFromThisMachine({
  headers,
  remoteAddress,
}: {
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
}): boolean {
  const local = isLoopback(remoteAddress ?? '') && LOCAL_NAMES.test(headers.host ?? '');
  return local && FORWARDED.every((name) => headers[name] === undefined);
}
