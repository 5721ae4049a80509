import { z } from 'zod';
import { ROLES } from '../core/node.ts';
import { MAX_ZONE_CHARS } from '../core/zones.ts';
import { decodeText, encodeText, protocolError } from './peer-codec-bytes.ts';
import type { Hello } from './peer-messages.ts';

/** Many times what it takes. */
export const MAX_HELLO_BYTES = 8 * 1024;
const MAX_HOST_CHARS = 253;
/** The largest time that a Date can hold. */
const MAX_TIME_MS = 8.64e15;

const slot = z.int().min(0).max(255);

// Unknown fields are dropped, not refused: a newer peer may send more.
const HELLO = z.object({
  type: z.literal('hello'),
  protocol: z.int().min(1).max(65535),
  peer: z.object({
    id: z.string().regex(/^[0-9a-f]{40}$/),
    role: z.enum(ROLES),
    // A name, an IPv4 or an IPv6 address (with zone index): it ends up in a request head. Empty: where it is seen to be.
    host: z
      .string()
      .max(MAX_HOST_CHARS)
      .regex(/^[\w.:%-]*$/),
    port: z.int().min(1).max(65535),
    zone: z
      .string()
      .max(MAX_ZONE_CHARS)
      .regex(/^[^\p{Cc}]*$/u),
  }),
  clusterTimeMs: z.number().min(0).max(MAX_TIME_MS),
  slots: z.object({ up: slot, down: slot }),
});

export function encodeHello(hello: Hello): Uint8Array {
  return encodeText(JSON.stringify(hello));
}

/** @throws PEER_PROTOCOL */
export function decodeHello(bytes: Uint8Array): Hello {
  if (bytes.length > MAX_HELLO_BYTES) throw protocolError(`a hello of ${bytes.length} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(decodeText(bytes));
  } catch {
    throw protocolError('a hello that is not JSON');
  }
  const parsed = HELLO.safeParse(json);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw protocolError(`a hello with a wrong ${where === '' ? 'shape' : where}`);
  }
  return parsed.data;
}
