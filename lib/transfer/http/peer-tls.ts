import { createSecureContext, type SecureContextOptions, connect as tlsConnect } from 'node:tls';
import { DamselflyError } from '../../core/errors.ts';
import type { Connect } from './connect.ts';

/** What a process proves itself with to its peers, and what it believes them by. PEM, all of it. */
export interface PeerTls {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** The cluster's authority: whoever has no certificate of it is no peer. */
  readonly ca: string | Buffer;
  /** @default {@link PEER_CIPHERS} */
  readonly ciphers?: string;
}

/** AES-128 first: with AES instructions it takes the least CPU of the three suites (docs/DATA-PLANE.md). */
const PEER_CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** TLS 1.3 only, with a certificate on both sides: the same for whoever dials and whoever listens. */
export function mutualTls(tls: PeerTls): SecureContextOptions & { readonly rejectUnauthorized: true } {
  const { key, cert, ca, ciphers = PEER_CIPHERS } = tls;
  return { key, cert, ca, ciphers, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', rejectUnauthorized: true };
}

/** Dials over TLS. The keys are read once, not for each connection. */
export function connectOverTls(tls: PeerTls): Connect {
  const secureContext = createSecureContext(mutualTls(tls));
  return (to) =>
    tlsConnect({
      ...to,
      secureContext,
      rejectUnauthorized: true,
      // Peers are dialled by whatever address they have just now: who they are is in the certificate, not in a name.
      checkServerIdentity: () => undefined,
    });
}

/**
 * What a failed connection means: PEER_UNTRUSTED when the two sides do not accept each other's certificates, so that
 * nobody looks for a broken network, else PEER_UNREACHABLE.
 */
export function connectionError(error: NodeJS.ErrnoException, what: string): DamselflyError {
  const { code = '', message } = error;
  if (!TLS_CODES.test(code)) {
    return new DamselflyError('PEER_UNREACHABLE', `${what}: ${message}`);
  }
  return new DamselflyError(
    'PEER_UNTRUSTED',
    `${what}: TLS failed (${code}); both sides need a valid certificate of the same cluster's authority`,
    { reason: code },
    { cause: error },
  );
}

/** As OpenSSL names why it does not accept a certificate (X509_verify_cert_error), and Node what is no TLS at all. */
const TLS_CODES =
  /^(CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_|PATH_LENGTH_|ERR_SSL_|ERR_TLS_|EPROTO$)/;
