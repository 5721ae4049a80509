import { createHash, type X509Certificate } from 'node:crypto';
import { isZone } from '../core/zones.ts';

/** What a certificate of the cluster lets its holder be. */
export const MEMBER_ROLES = ['node', 'supernode', 'tracker'] as const;
export type MemberRole = (typeof MEMBER_ROLES)[number];

/** Who a process is, as its certificate says. */
export interface MemberIdentity {
  /** Name of the cluster: the trust domain of SPIFFE. */
  readonly cluster: string;
  readonly role: MemberRole;
  readonly name: string;
  /** Failure and bandwidth domain; empty = the default zone. */
  readonly zone: string;
}

/** SPIFFE-ID section 2: at most 2048 bytes, and a trust domain of at most 255. */
const MAX_URI_CHARS = 2048;
const CLUSTER = /^[a-z0-9._-]{1,255}$/;
/** A path segment of SPIFFE-ID section 2.2, as long as the longest zone or id. */
const SEGMENT = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/;
const SPIFFE = 'spiffe://';

export function isClusterName(text: string): boolean {
  return CLUSTER.test(text);
}

function isMemberRole(text: string): text is MemberRole {
  return (MEMBER_ROLES as readonly string[]).includes(text);
}

/** Whether the text can be a zone in an identity: each part of its path a segment; it may be empty. */
export function isIdentityZone(text: string): boolean {
  return isZone(text) && (text === '' || text.split('/').every((part) => SEGMENT.test(part)));
}

/** `spiffe://CLUSTER/ROLE/NAME`, with `/zone/ZONE` unless the zone is the default one. */
export function formatIdentity({ cluster, role, name, zone }: MemberIdentity): string {
  return `${SPIFFE}${cluster}/${role}/${name}${zone === '' ? '' : `/zone/${zone}`}`;
}

/** Undefined for whatever {@link formatIdentity} would not write. */
export function parseIdentity(uri: string): MemberIdentity | undefined {
  if (uri.length > MAX_URI_CHARS || !uri.startsWith(SPIFFE)) return undefined;
  const [cluster = '', role = '', name = '', label, ...path] = uri.slice(SPIFFE.length).split('/');
  if (!isClusterName(cluster) || !isMemberRole(role) || !SEGMENT.test(name)) return undefined;
  const zone = path.join('/');
  if (label !== undefined && (label !== 'zone' || zone === '' || !isIdentityZone(zone))) return undefined;
  return { cluster, role, name, zone };
}

/**
 * The id of a process among its peers, 40 hex digits: its name where that is one, as enrolment gives it, else a hash of
 * the whole identity, for certificates of an authority that names its members as it likes.
 */
export function peerIdOf(identity: MemberIdentity): string {
  if (/^[0-9a-f]{40}$/.test(identity.name)) return identity.name;
  return createHash('sha256').update(formatIdentity(identity)).digest('hex').slice(0, 40);
}

/** The URI names of a certificate. X.509-SVID section 2: one that is a SPIFFE id has no other. */
export function uriNames({ subjectAltName = '' }: Pick<X509Certificate, 'subjectAltName'>): string[] {
  // Node quotes a name in which a comma or a quote stands, so that none can look like two.
  const names = subjectAltName.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy);
  return [...names].flatMap(([, kind, name = '']) => (kind === 'URI' && !name.startsWith('"') ? [name] : []));
}
