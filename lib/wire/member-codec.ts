import { z } from 'zod';
import type { ClusterSettings } from '../core/cluster-settings.ts';
import { DamselflyError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import { joiningPeer, settingsFields, statement } from './control-codec.ts';

/**
 * What members of the DHT ask each other, over one stream a question. Blobs go by their keys (see BlobKey), so that who
 * does not know a digest does not learn it.
 */

/** Most blobs in one question. */
export const MAX_KEYS = 256;
/** Most supernodes that one message names. */
export const MAX_HINTS = 16;
/** Longest question or answer, bytes of JSON: the most keys and names fit. */
export const MAX_MEMBER_BYTES = 128 * 1024;

/** HMAC of a digest under the cluster's key: 64 hex digits. */
export type BlobKey = string;

/** Where a member's DHT listens, and which libp2p peer id it has. */
export interface MemberAddress {
  readonly host: string;
  readonly port: number;
  /** libp2p peer id, as text. */
  readonly member: string;
}

export interface MemberQuestion {
  /** Who asks; an empty host stands for the address that it is seen to come from. */
  readonly peer: PeerInfo;
  /** Blobs that it lacks: who shares them answers so. */
  readonly keys: readonly BlobKey[];
  /** Supernodes that it is connected with. */
  readonly supernodes: readonly MemberAddress[];
  /** The newest settings of the cluster that it knows. */
  readonly settings?: ClusterSettings;
  /** That the asker is `peer`, said of its libp2p peer id with the key of its certificate; absent without identities. */
  readonly proof?: MemberProof;
}

export interface MemberProof {
  /** PEM. */
  readonly certificate: string;
  /** base64url */
  readonly signature: string;
}

export interface MemberAnswer extends Omit<MemberQuestion, 'keys'> {
  /** Those of the question that it shares. */
  readonly shares: readonly BlobKey[];
}

/** What the peer port tells of a member's DHT: where it listens on the same machine, and its peer id. */
export type DhtDoor = Pick<MemberAddress, 'member' | 'port'>;

const MAX_HOST_CHARS = 253;
const MAX_PEER_ID_CHARS = 128;

const port = z.int().min(1).max(65_535);
const member = z
  .string()
  .min(1)
  .max(MAX_PEER_ID_CHARS)
  .regex(/^[0-9A-Za-z]+$/);
const keys = z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(MAX_KEYS);
const settings = z.object(settingsFields).exactOptional();
const door = z.object({ port, member });
const address = door.extend({
  host: z
    .string()
    .min(1)
    .max(MAX_HOST_CHARS)
    .regex(/^[0-9A-Za-z._:-]+$/),
});
const supernodes = z.array(address).max(MAX_HINTS);
const proof = statement.exactOptional();
const question = z.object({ peer: joiningPeer, keys, supernodes, settings, proof });
const answer = z.object({ peer: joiningPeer, shares: keys, supernodes, settings, proof });

export function encodeMember(message: MemberQuestion | MemberAnswer | DhtDoor): string {
  return JSON.stringify(message);
}

/** @throws PEER_PROTOCOL */
export function decodeQuestion(text: string): MemberQuestion {
  return parse('question', question, text);
}

/** @throws PEER_PROTOCOL */
export function decodeAnswer(text: string): MemberAnswer {
  return parse('answer', answer, text);
}

/** @throws PEER_PROTOCOL */
export function decodeDoor(text: string): DhtDoor {
  return parse('door', door, text);
}

function parse<T>(what: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    if (text.length <= MAX_MEMBER_BYTES) value = JSON.parse(text);
  } catch {
    // Told below, like everything else that is wrong with it.
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined ? '' : `: ${issue.path.join('.')}: ${issue.message}`;
  throw new DamselflyError('PEER_PROTOCOL', `malformed ${what} of a member${where}`);
}
