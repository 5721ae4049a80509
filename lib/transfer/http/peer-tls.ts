import { createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls';
import { DamselflyError } from '../../core/errors.ts';
import { ACTS } from '../../security/acts.ts';
import type { Credentials } from '../../security/credentials.ts';
import { noteDialled } from '../../security/system/dialled.ts';
import { mustBe, mutualTls, type TlsKeys } from '../../security/system/mutual-tls.ts';
import type { SocketGuard } from '../../security/system/socket-guard.ts';
import type { Connect } from './connect.ts';

/** Dials over TLS, to peers of the same cluster alone. The keys are read once each time they change. */
export function connectOverTls(credentials: Credentials, guard?: SocketGuard): Connect {
  const checkServerIdentity = mustBe(credentials, ACTS.share);
  let made: { readonly keys: TlsKeys; readonly secureContext: SecureContext } | undefined;
  return (to) => {
    const { keys } = credentials;
    if (made?.keys !== keys) made = { keys, secureContext: createSecureContext(mutualTls(keys)) };
    const { secureContext } = made;
    const socket = tlsConnect({ ...to, secureContext, rejectUnauthorized: true, checkServerIdentity });
    noteDialled(socket, credentials, keys);
    socket.once('secureConnect', () => guard?.watch(socket));
    return socket;
  };
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
