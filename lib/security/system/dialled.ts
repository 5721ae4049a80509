import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Credentials } from '../credentials.ts';
import { shownCertificate } from './mutual-tls.ts';

/** This share of its time before a certificate ends, who has dialled its holder dials anew. */
const BEFORE_ITS_END = 0.1;

interface Dialled {
  readonly credentials: Credentials;
  /** What we have shown, PEM. */
  readonly cert: string | Buffer;
  /** Cluster time, milliseconds since the epoch. */
  readonly atMs: number;
  /** When theirs is near its end; undefined until the handshake. */
  nearItsEndMs?: number;
}

const connections = new WeakMap<Socket, Dialled>();

/** A connection to a member begins, with the certificate that we show now. */
export function noteDialled(socket: Socket, credentials: Credentials, { cert } = credentials.keys): void {
  connections.set(socket, { credentials, cert, atMs: credentials.time.nowMs() });
}

/**
 * Whether a connection that we have dialled should make way for a new one: our certificate is another one by now, or theirs
 * has come near its end since. So whoever renews is never cut off for what it showed at first.
 */
export function isOld(socket: Socket): boolean {
  const dialled = connections.get(socket);
  if (dialled === undefined) return false;
  const { atMs, cert, credentials } = dialled;
  if (credentials.keys.cert !== cert) return true;
  if (dialled.nearItsEndMs === undefined) {
    const shown = shownCertificate(socket);
    if (shown === undefined) return false;
    dialled.nearItsEndMs = nearItsEndMs(shown);
  }
  // One that was dialled later has met the same certificate: dialling again would bring nothing.
  return atMs < dialled.nearItsEndMs && credentials.time.nowMs() >= dialled.nearItsEndMs;
}

function nearItsEndMs({ validFromDate, validToDate }: X509Certificate): number {
  const [from, until] = [validFromDate.getTime(), validToDate.getTime()];
  return until - (until - from) * BEFORE_ITS_END;
}
