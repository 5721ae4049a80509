import { z } from 'zod';
import { type Digest, isDigest } from '../core/digest.ts';
import { type Signatures, signerIdIn } from './signatures.ts';

/**
 * A tracker's word that a node has held the lease on a part of a blob: others may believe what it says to have read,
 * whoever passes that on.
 */
export interface ReadWarrant {
  readonly digest: Digest;
  /** Id of the node among peers. */
  readonly node: string;
  /** When the lease was granted, by the tracker's clock, milliseconds since the epoch. */
  readonly atMs: number;
}

const PREFIX = 'dfwarrant1_';
const MAX_WARRANT_CHARS = 1024;

const schema = z.strictObject({
  digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
  node: z.string().regex(/^[0-9a-f]{40}$/),
  atMs: z.int().min(0),
});

/** Our card and our warrant: what the node shows to whoever is to believe it. */
export function warrantPapers(signatures: Signatures, warrant: ReadWarrant): readonly string[] {
  return [signatures.card, issueWarrant(signatures, warrant)];
}

function issueWarrant(signatures: Signatures, { atMs, digest, node }: ReadWarrant): string {
  const payload = Buffer.from(JSON.stringify({ digest, node, atMs: Math.floor(atMs) }));
  const signature = Buffer.from(signatures.sign(statement(payload)));
  return `${PREFIX}${payload.toString('base64url')}.${signature.toString('base64url')}`;
}

/**
 * What a warrant says, and the signer id of the tracker that issued it. Undefined unless a tracker of the cluster, whose
 * card is known, has signed it.
 */
export function readWarrant(
  signatures: Signatures,
  text: string,
): { readonly warrant: ReadWarrant; readonly trackerId: string } | undefined {
  if (text.length > MAX_WARRANT_CHARS) return undefined;
  const match = /^dfwarrant1_([\w-]+)\.([\w-]+)$/.exec(text);
  if (match === null) return undefined;
  const payload = Buffer.from(match[1] ?? '', 'base64url');
  const signature = Buffer.from(match[2] ?? '', 'base64url');
  if (signatures.signerOf(signature)?.identity.role !== 'tracker') return undefined;
  if (!signatures.verify(statement(payload), signature)) return undefined;
  try {
    return { warrant: schema.parse(JSON.parse(payload.toString())), trackerId: signerIdIn(signature) };
  } catch {
    return undefined;
  }
}

function statement(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from('damselfly warrant 1\n'), payload]);
}
