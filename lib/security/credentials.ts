import { X509Certificate } from 'node:crypto';
import { DamselflyError, describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import { type Clock, every } from '../runtime/clock.ts';
import { type MemberIdentity, type MemberRole, peerIdOf } from './identity.ts';
import { checkMember, identityOf, type MemberCheck } from './member.ts';
import { NOTHING_REVOKED, type RevocationList } from './revocation-list.ts';
import type { TlsKeys } from './system/mutual-tls.ts';

/** Where the next certificate comes from: undefined as long as there is no need for one. */
export type NextKeys = (now: TlsKeys, signal: AbortSignal) => Promise<TlsKeys | undefined>;

export interface CredentialsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** A machine that slept notices soon that its certificate is old. */
const LOOK_EVERY_MS = 60_000;

/** Who this process is, with what it proves that, and whom it believes. Its certificate is renewed while it runs. */
export class Credentials {
  readonly identity: MemberIdentity;
  /** Id among peers: 40 hex digits. */
  readonly id: string;
  readonly #deps: CredentialsDeps;
  readonly #next: NextKeys;
  readonly #ending = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #cancelLook: () => void;
  #keys: TlsKeys;
  /** One look at a time. */
  #looked = Promise.resolve();
  #revoked = NOTHING_REVOKED;

  /** @throws CONFIG_INVALID when the certificate is none of a member */
  constructor(deps: CredentialsDeps, keys: TlsKeys, next: NextKeys) {
    this.#deps = deps;
    this.#keys = keys;
    this.#next = next;
    const identity = identityOf(new X509Certificate(keys.cert));
    if (identity === undefined) {
      const message =
        'our certificate names no member: it needs one URI name like spiffe://CLUSTER/node/NAME';
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    this.identity = identity;
    this.id = peerIdOf(identity);
    this.#cancelLook = every(deps.clock, LOOK_EVERY_MS, () => void this.look());
  }

  /** Key, certificate and authority in force now. */
  get keys(): TlsKeys {
    return this.#keys;
  }

  /** Calls after each change of {@link keys}. @returns what ends that */
  onRenewed(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether the holder of a certificate that TLS accepted may do what these roles do. */
  check(certificate: X509Certificate | undefined, roles: readonly MemberRole[]): MemberCheck {
    const { cluster } = this.identity;
    return checkMember(certificate, {
      cluster,
      roles,
      revoked: this.#revoked,
      nowMs: this.#deps.wallClockMs(),
    });
  }

  /** What counts no more, as far as this process knows. */
  get revoked(): RevocationList {
    return this.#revoked;
  }

  /** Takes a list that the authority has signed, unless a newer one is known. */
  revoke(list: RevocationList): void {
    if (list.number > this.#revoked.number) this.#revoked = list;
  }

  /** Looks whether there is a new certificate, or the need for one. Never rejects: there is a next time. */
  look(): Promise<void> {
    this.#looked = this.#looked.then(() => this.#look());
    return this.#looked;
  }

  async #look(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    const { log } = this.#deps;
    try {
      const next = await this.#next(this.#keys, this.#ending.signal);
      if (next === undefined || this.#ending.signal.aborted) return;
      const certificate = new X509Certificate(next.cert);
      const identity = identityOf(certificate);
      if (identity === undefined || peerIdOf(identity) !== this.id || identity.role !== this.identity.role) {
        log.error(
          { subject: certificate.subjectAltName },
          'a new certificate is for somebody else: not used',
        );
        return;
      }
      this.#keys = next;
      log.info({ until: certificate.validTo }, 'certificate renewed');
      for (const listener of this.#listeners) listener();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const until = new X509Certificate(this.#keys.cert).validTo;
      log.warn({ problem: describeError(error), until }, 'the certificate could not be renewed yet');
    }
  }

  close(): void {
    this.#cancelLook();
    this.#ending.abort();
  }
}

/**
 * When to ask for the next certificate, milliseconds since the epoch: after half of this one's time and before two
 * thirds, so that there is time for a tracker to come back. Each certificate has its own moment, by its random serial
 * number: not all members ask at once.
 */
export function renewAtMs(certificate: X509Certificate): number {
  const [from, until] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  const draw = Number.parseInt(certificate.serialNumber.slice(-4), 16) / 0xffff;
  return from + (until - from) * (0.5 + 0.15 * draw);
}
