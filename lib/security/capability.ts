import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Digest } from '../core/digest.ts';
import type { Signatures } from './signatures.ts';

/**
 * The right of one member to get some blobs from any other: a supernode's word that it saw the registry say yes to the
 * credential of whoever the member asks for.
 */
export interface Capability {
  /** {@link digestListHash} of the blobs. */
  readonly list: string;
  /** SHA-256 of the member's certificate, 64 hex digits: of no use to anybody else. */
  readonly holder: string;
  /** When the registry said yes, and until when it holds: cluster time, milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Blobs in one: more than any image has layers. */
export const MAX_CAPABILITY_BLOBS = 512;
const MAX_CAPABILITY_CHARS = 1024;
const PREFIX = 'dfcap1_';
/** It lives so long; its holder renews it while it reads. */
export const CAPABILITY_LIFE_MS = 5 * 60_000;
/**
 * Whoever signed it and whoever checks it may go by times so far apart: trackers whose clocks are ten minutes off, in
 * opposite directions, of which not everybody has heard all. What it is good for ends much sooner: see Grants.
 */
export const CAPABILITY_CLOCKS_MS = 20 * 60_000;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const schema = z.strictObject({
  list: sha256,
  holder: sha256,
  sinceMs: z.int().min(0),
  untilMs: z.int().min(0),
});

/** SHA-256 of the digests in the manifest's order, a line each; as hex. */
export function digestListHash(digests: readonly Digest[]): string {
  return createHash('sha256').update(digests.join('\n')).digest('hex');
}

export function issueCapability(signatures: Signatures, capability: Capability): string {
  const { holder, list, sinceMs, untilMs } = capability;
  const times = { sinceMs: Math.floor(sinceMs), untilMs: Math.floor(untilMs) };
  const payload = Buffer.from(JSON.stringify({ list, holder, ...times }));
  const signature = Buffer.from(signatures.sign(statement(payload)));
  return `${PREFIX}${payload.toString('base64url')}.${signature.toString('base64url')}`;
}

/** Why somebody does not get what a capability is for. */
export type CapabilityRefusal = 'malformed' | 'forged' | 'other-holder' | 'other-blobs' | 'expired';

/**
 * What a capability is worth to whom shows it.
 * @param shown.holder SHA-256 of the certificate of the connection over which it came, hex
 * @param shown.digests the blobs that it is said to be for
 * @param nowMs cluster time, milliseconds since the epoch
 */
export function checkCapability(
  signatures: Signatures,
  shown: { readonly text: string; readonly holder: string; readonly digests: readonly Digest[] },
  nowMs: number,
): Capability | CapabilityRefusal {
  const match =
    shown.text.length > MAX_CAPABILITY_CHARS ? null : /^dfcap1_([\w-]+)\.([\w-]+)$/.exec(shown.text);
  if (match === null) return 'malformed';
  const payload = Buffer.from(match[1] ?? '', 'base64url');
  const signature = Buffer.from(match[2] ?? '', 'base64url');
  if (signatures.signerOf(signature)?.identity.role !== 'supernode') return 'forged';
  if (!signatures.verify(statement(payload), signature)) return 'forged';
  const capability = read(payload);
  if (capability === undefined) return 'malformed';
  if (capability.holder !== shown.holder) return 'other-holder';
  if (capability.list !== digestListHash(shown.digests)) return 'other-blobs';
  return capability.untilMs + CAPABILITY_CLOCKS_MS < nowMs ? 'expired' : capability;
}

/** SHA-256 of the certificate that a capability is for, hex, unchecked: a node looks whether its own is meant. */
export function holderOf(capability: string): string | undefined {
  const payload = capability.slice(PREFIX.length).split('.')[0] ?? '';
  return read(Buffer.from(payload, 'base64url'))?.holder;
}

/** Who has signed it may still have written anything. */
function read(payload: Buffer): Capability | undefined {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch {
    return undefined;
  }
}

function statement(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from('damselfly capability 1\n'), payload]);
}
