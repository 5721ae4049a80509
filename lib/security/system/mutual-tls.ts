import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { type ConnectionOptions, type SecureContextOptions, TLSSocket } from 'node:tls';
import type { Credentials } from '../credentials.ts';
import type { MemberRole } from '../identity.ts';

/** What a process proves itself with to the others, and what it believes them by. PEM, all of it. */
export interface TlsKeys {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** The cluster's authority: whoever has no certificate of it is no member. */
  readonly ca: string | Buffer;
  /** @default {@link CIPHERS} */
  readonly ciphers?: string;
}

/** AES-128 first: with AES instructions it takes the least CPU of the three suites (docs/DATA-PLANE.md). */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** TLS 1.3 only, with a certificate on both sides: the same for whoever dials and whoever listens. */
export function mutualTls(keys: TlsKeys): SecureContextOptions & { readonly rejectUnauthorized: true } {
  const { key, cert, ca, ciphers = CIPHERS } = keys;
  return { key, cert, ca, ciphers, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', rejectUnauthorized: true };
}

type CheckServer = NonNullable<ConnectionOptions['checkServerIdentity']>;

/** {@link mutualTls} for dialling somebody who must be a member with one of these roles, wherever it is reached. */
export function checkedTls(
  credentials: Credentials,
  roles: readonly MemberRole[],
): ReturnType<typeof mutualTls> & { readonly checkServerIdentity: CheckServer } {
  return { ...mutualTls(credentials.keys), checkServerIdentity: mustBe(credentials, roles) };
}

/** For `checkServerIdentity`: not which address a member is reached by matters, but who it is. */
export function mustBe(credentials: Credentials, roles: readonly MemberRole[]): CheckServer {
  return (_host, { raw }) => {
    const checked = credentials.check(new X509Certificate(raw), roles);
    if (checked.kind === 'member') return undefined;
    const told = `the certificate does not count: ${checked.reason}`;
    return Object.assign(new Error(told), { code: `CERT_REFUSED_${checked.reason}` });
  };
}

/** The certificate that the other side showed; undefined when it showed none, or the connection is plain. */
export function shownCertificate(socket: Socket): X509Certificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  // On the side that dialled, Node tells it once and never again.
  const known = shown.get(socket) ?? socket.getPeerX509Certificate();
  if (known !== undefined) shown.set(socket, known);
  return known;
}

const shown = new WeakMap<Socket, X509Certificate>();

/**
 * Why a handshake that somebody began with us failed, as a stable code; undefined when they just went away, as a peer
 * does whose request is cut short.
 */
export function handshakeRefusal(error: NodeJS.ErrnoException, socket: TLSSocket): string | undefined {
  // A text, whatever its type says; a certificate that is not accepted looks like a lost connection otherwise.
  const refused = socket.authorizationError as unknown;
  if (typeof refused === 'string') return refused;
  return error.code === 'ECONNRESET' ? undefined : (error.code ?? 'handshake failed');
}
