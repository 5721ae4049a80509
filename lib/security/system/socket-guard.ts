import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { CLOCK_TOLERANCE_MS } from '../cluster-time.ts';
import type { Credentials } from '../credentials.ts';
import { shownCertificate } from './mutual-tls.ts';

/** Open connections to members of the cluster: those of a member that is revoked, or whose certificate ends, are cut. */
export interface SocketGuard {
  /** From its handshake on; forgotten when it closes. */
  watch(socket: Socket): void;
  close(): void;
}

/** The cluster's time may be set right at any moment. */
const LOOK_EVERY_MS = 60_000;
/** Several end at once, as those of one start do. */
const MIN_LOOK_MS = 1000;

interface Watched {
  readonly certificate: X509Certificate;
  /** Cluster time from which it counts no more, milliseconds since the epoch. */
  readonly endMs: number;
}

/** @param cut told of each connection just before it is destroyed */
export function createSocketGuard(
  credentials: Credentials,
  cut: (socket: Socket, reason: string) => void,
): SocketGuard {
  const { clock, time } = credentials;
  const open = new Map<Socket, Watched>();
  let cancelLook: (() => void) | undefined;
  const end = (socket: Socket, reason: string): void => {
    open.delete(socket);
    cut(socket, reason);
    socket.destroy();
  };
  const lookLater = (): void => {
    cancelLook?.();
    cancelLook = undefined;
    if (open.size === 0) return;
    let first = Number.POSITIVE_INFINITY;
    for (const { endMs } of open.values()) first = Math.min(first, endMs);
    const waitMs = Math.min(LOOK_EVERY_MS, Math.max(MIN_LOOK_MS, first + 1 - time.nowMs()));
    cancelLook = clock.after(waitMs, () => {
      const nowMs = time.nowMs();
      for (const [socket, { endMs }] of open) if (endMs < nowMs) end(socket, 'expired');
      lookLater();
    });
  };
  const forget = credentials.onTrust(() => {
    for (const [socket, { certificate }] of open) {
      if (credentials.isRevoked(certificate)) end(socket, 'revoked');
    }
  });
  return {
    watch(socket) {
      const certificate = shownCertificate(socket);
      if (certificate === undefined || socket.destroyed) return;
      const endMs = certificate.validToDate.getTime() + CLOCK_TOLERANCE_MS;
      open.set(socket, { certificate, endMs });
      socket.once('close', () => open.delete(socket));
      // Whoever ends sooner than the next look is looked at then.
      if (cancelLook === undefined || endMs - time.nowMs() < LOOK_EVERY_MS) lookLater();
    },
    close() {
      forget();
      cancelLook?.();
      open.clear();
    },
  };
}
