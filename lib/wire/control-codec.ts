import { z } from 'zod';
import type { ClusterSettings } from '../core/cluster-settings.ts';
import { type Digest, isBlobKey } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { MAX_BLOB_BYTES } from '../core/geometry.ts';
import { LEASE_REFUSALS } from '../core/lease.ts';
import { type PeerInfo, ROLES } from '../core/node.ts';
import { isZone, MAX_ZONE_CHARS } from '../core/zones.ts';
import {
  type BlobAnnouncement,
  type BlobNeighbours,
  type ControlMessage,
  MAX_BLOBS_PER_MESSAGE,
  MAX_CONTROL_BYTES,
  MAX_HOLDERS,
  MAX_LEASE_MS,
  MAX_NEIGHBOURS_PER_BLOB,
  MAX_PAUSED,
  MAX_PEERS_PER_MESSAGE,
  MAX_SETTING_CHARS,
  MAX_SETTINGS_RULES,
  MAX_SETTINGS_VALUES,
  MAX_STRIPES,
  MAX_UPSTREAM_CHARS,
} from './control-messages.ts';
import { preheatSchemas } from './preheat-codec.ts';
import { report, watch } from './report-codec.ts';

/** Longest DNS name (RFC 1035 section 2.3.4); any literal address is shorter. */
const MAX_HOST_CHARS = 253;
/** Room for a PEM chain of three certificates. */
const MAX_IDENTITY_CHARS = 16 * 1024;
/** RSA with 4,096 bits, in base64. */
const MAX_SIGNATURE_CHARS = 684;
const MAX_TYPE_CHARS = 64;
/** Two certificates and a signature, in base64 twice over. */
const MAX_ROTATION_CHARS = 16 * 1024;
/** The longest list, in base64. */
const MAX_REVOCATION_CHARS = 900_000;
const MIN_HEARTBEAT_MS = 100;
const MAX_HEARTBEAT_MS = 60_000;
const MAX_PROTOCOL = 65_535;
/** The last time that a Date can hold (ECMA-262 section 21.4.1.1); leaves room for one that must be later. */
const MAX_TIME_MS = 8.64e15;

const id = z.string().regex(/^[0-9a-f]{40}$/);
const digest = z.custom<Digest>((value) => typeof value === 'string' && isBlobKey(value), 'not a digest');
/** Names, IPv4 and IPv6 literals (with a scope); nothing that means something inside a URL. */
const host = z
  .string()
  .max(MAX_HOST_CHARS)
  .regex(/^[0-9A-Za-z._:%-]*$/);
const zone = z.string().max(MAX_ZONE_CHARS).refine(isZone);
const count = z.int().min(0);
const protocol = z.int().min(1).max(MAX_PROTOCOL);
/** A process as others reach it. */
export const peer = z.object({
  id,
  role: z.enum(ROLES),
  host: host.min(1),
  port: z.int().min(1).max(65_535),
  zone,
});
/** Only a member that joins may leave its host to the tracker, or to whom it speaks. */
export const joiningPeer = peer.extend({ host });
const supernodes = z.array(peer).max(MAX_PEERS_PER_MESSAGE);
const announcement = z.object({
  digest,
  size: count.max(MAX_BLOB_BYTES),
  have: z.enum(['none', 'some', 'all']),
  stalled: z.boolean().exactOptional(),
});
const upstream = z.string().min(1).max(MAX_UPSTREAM_CHARS);
const settingName = z.string().regex(/^[a-z][a-z-]{0,63}$/);
/** Printable ASCII: escaping makes it at most twice as long. */
const settingText = z
  .string()
  .max(MAX_SETTING_CHARS)
  .regex(/^[ -~]+$/);
const settingsRule = z.object({
  zone: zone.exactOptional(),
  node: z
    .string()
    .regex(/^[0-9a-f]{1,40}$/)
    .exactOptional(),
  values: z
    .record(settingName, settingText)
    .refine((values) => Object.keys(values).length <= MAX_SETTINGS_VALUES, 'too many values'),
});
/** What a member says, checkable by those who have it from others. */
export const statement = z.object({
  certificate: z.string().max(MAX_IDENTITY_CHARS),
  signature: z.string().max(MAX_SIGNATURE_CHARS),
});
export const settingsFields = {
  atMs: count.max(MAX_TIME_MS),
  paused: z.array(upstream).max(MAX_PAUSED),
  rules: z.array(settingsRule).max(MAX_SETTINGS_RULES).exactOptional(),
  by: statement.exactOptional(),
};
const settings = z.object({ type: z.literal('settings'), ...settingsFields });
const hello = z.object({
  type: z.literal('hello'),
  protocol,
  peer: joiningPeer,
  clusterTimeMs: z.number().min(0).max(MAX_TIME_MS),
  identity: z.string().max(MAX_IDENTITY_CHARS).exactOptional(),
});
const welcome = z.object({
  type: z.literal('welcome'),
  protocol,
  trackerId: id,
  clusterTimeMs: z.number().min(0).max(MAX_TIME_MS),
  epoch: count,
  supernodes: supernodes.exactOptional(),
  heartbeatMs: z.int().min(MIN_HEARTBEAT_MS).max(MAX_HEARTBEAT_MS),
  zone: zone.exactOptional(),
  settings: z.object(settingsFields).exactOptional(),
});
const announce = z.object({
  type: z.literal('announce'),
  blobs: z.array(announcement).max(MAX_BLOBS_PER_MESSAGE),
});
const withdraw = z.object({
  type: z.literal('withdraw'),
  digests: z.array(digest).max(MAX_BLOBS_PER_MESSAGE),
});
/** The layers of an image have nearly the same neighbours, so each peer travels once and blobs name it by index. */
const neighbours = z
  .object({
    type: z.literal('neighbours'),
    peers: z.array(peer).max(MAX_PEERS_PER_MESSAGE),
    blobs: z
      .array(
        z.object({
          digest,
          peers: z.array(count).max(MAX_NEIGHBOURS_PER_BLOB),
          owned: z.literal(true).exactOptional(),
        }),
      )
      .max(MAX_BLOBS_PER_MESSAGE),
  })
  .transform((message, context): ControlMessage => {
    const blobs = message.blobs.map(({ peers, ...blob }): BlobNeighbours => {
      const known = peers.map((index) => message.peers[index]).filter((found) => found !== undefined);
      if (known.length < peers.length) context.addIssue('a blob names a peer that is not there');
      return { ...blob, peers: known };
    });
    return { type: 'neighbours', blobs };
  });
const epoch = z.object({
  type: z.literal('epoch'),
  epoch: count,
  supernodes: supernodes.exactOptional(),
});
const unreached = z.object({ type: z.literal('unreached'), ids: z.array(id).max(MAX_NEIGHBOURS_PER_BLOB) });
const reached = z.object({ type: z.literal('reached'), ids: z.array(id).max(MAX_NEIGHBOURS_PER_BLOB) });
const dial = z.object({ type: z.literal('dial'), peers: z.array(peer).max(MAX_NEIGHBOURS_PER_BLOB) });
const lease = z.object({
  type: z.literal('lease'),
  ask: count,
  digest,
  upstream,
  stripes: z.array(count).min(1).max(MAX_STRIPES),
  aside: z.literal(true).exactOptional(),
});
const renew = z.object({ type: z.literal('renew'), ask: count, token: count });
const release = z.object({
  type: z.literal('release'),
  token: count,
  read: z.literal(true).exactOptional(),
});
/** A card, with a few certificates. */
const MAX_PAPER_CHARS = 12 * 1024;
const leased = z.object({
  type: z.literal('leased'),
  ask: count,
  stripe: count,
  token: count,
  ttlMs: count.max(MAX_LEASE_MS),
  warrant: z.array(z.string().max(MAX_PAPER_CHARS)).max(2).exactOptional(),
});
const leaseRefused = z.object({
  type: z.literal('lease-refused'),
  ask: count,
  reason: z.enum(LEASE_REFUSALS),
  retryMs: count.max(MAX_LEASE_MS),
  holders: z.array(peer).max(MAX_HOLDERS),
});
const trust = z.object({
  type: z.literal('trust'),
  rotation: z.string().max(MAX_ROTATION_CHARS).exactOptional(),
  revocations: z.string().max(MAX_REVOCATION_CHARS).exactOptional(),
});
const heartbeat = z.object({ type: z.literal('heartbeat') });

const SCHEMAS: ReadonlyMap<string, z.ZodType<ControlMessage>> = new Map(
  Object.entries({
    hello,
    welcome,
    announce,
    withdraw,
    neighbours,
    epoch,
    settings,
    unreached,
    reached,
    dial,
    lease,
    renew,
    release,
    leased,
    'lease-refused': leaseRefused,
    watch,
    report,
    trust,
    heartbeat,
    ...preheatSchemas,
  }),
);

/** The text of one message, for one WebSocket text frame. */
export function encodeControl(message: ControlMessage): string {
  return message.type === 'neighbours' ? encodeNeighbours(message.blobs) : JSON.stringify(message);
}

/** A tracker names the same few thousand peers again and again: each is written once. */
const peerTexts = new WeakMap<PeerInfo, string>();

function textOf(peer: PeerInfo): string {
  const known = peerTexts.get(peer);
  if (known !== undefined) return known;
  const text = JSON.stringify(peer);
  peerTexts.set(peer, text);
  return text;
}

/** As JSON.stringify would write it; digests need no escapes. */
function encodeNeighbours(blobs: readonly BlobNeighbours[]): string {
  const indexes = new Map<PeerInfo, number>();
  let peerList = '';
  let blobList = '';
  let before: readonly PeerInfo[] | undefined;
  let named = '';
  for (const { digest, peers, owned } of blobs) {
    // The layers of an image mostly have the same ones.
    if (before === undefined || !isSame(peers, before)) {
      named = '';
      for (const peer of peers) {
        let index = indexes.get(peer);
        if (index === undefined) {
          index = indexes.size;
          indexes.set(peer, index);
          peerList += `${index === 0 ? '' : ','}${textOf(peer)}`;
        }
        named += named === '' ? index : `,${index}`;
      }
      before = peers;
    }
    const end = owned === true ? ',"owned":true}' : '}';
    blobList += `${blobList === '' ? '' : ','}{"digest":"${digest}","peers":[${named}]${end}`;
  }
  return `{"type":"neighbours","peers":[${peerList}],"blobs":[${blobList}]}`;
}

function isSame(a: readonly PeerInfo[], b: readonly PeerInfo[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Reads one message. Fields it does not know are left out, so that versions can differ across a rollout.
 * @returns undefined for a type it does not know
 * @throws PEER_PROTOCOL
 */
export function decodeControl(text: string): ControlMessage | undefined {
  if (text.length > MAX_CONTROL_BYTES) throw malformed('longer than 1 MiB');
  const value = parseJson(text);
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
  if (typeof type !== 'string' || type.length > MAX_TYPE_CHARS) throw malformed('no type');
  const quick = type === 'announce' ? readAnnounce(value as object) : undefined;
  if (quick !== undefined) return quick;
  const schema = SCHEMAS.get(type);
  if (schema === undefined) return undefined;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw malformed(`${type}${issue === undefined ? '' : `: ${issue.path.join('.')}: ${issue.message}`}`);
}

/**
 * What a tracker reads most, without what the schema costs.
 * @returns undefined when something is wrong with it: the schema then says what
 */
function readAnnounce(message: { readonly blobs?: unknown }): ControlMessage | undefined {
  if (!Array.isArray(message.blobs) || message.blobs.length > MAX_BLOBS_PER_MESSAGE) return undefined;
  const blobs: BlobAnnouncement[] = [];
  for (const value of message.blobs as unknown[]) {
    if (typeof value !== 'object' || value === null) return undefined;
    const { digest, size, have, stalled } = value as Partial<Record<keyof BlobAnnouncement, unknown>>;
    if (typeof digest !== 'string' || !isBlobKey(digest)) return undefined;
    if (!Number.isSafeInteger(size) || (size as number) < 0 || (size as number) > MAX_BLOB_BYTES) {
      return undefined;
    }
    if (have !== 'none' && have !== 'some' && have !== 'all') return undefined;
    if (stalled === undefined && !('stalled' in value)) blobs.push({ digest, size: size as number, have });
    else if (typeof stalled === 'boolean') blobs.push({ digest, size: size as number, have, stalled });
    else return undefined;
  }
  return { type: 'announce', blobs };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('not JSON');
  }
}

function malformed(what: string): DamselflyError {
  return new DamselflyError('PEER_PROTOCOL', `malformed control message: ${what}`);
}

/** What a `settings` message says, without its type. */
export function settingsOf({ type: _, ...settings }: ControlMessage & { type: 'settings' }): ClusterSettings {
  return settings;
}
