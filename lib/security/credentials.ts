import { X509Certificate } from 'node:crypto';
import { DamselflyError, describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { ClusterTime } from './cluster-time.ts';
import { MEMBER_ROLES, type MemberIdentity, type MemberRole, peerIdOf } from './identity.ts';
import { checkMember, identityOf, type MemberCheck } from './member.ts';
import type { RevocationList } from './revocation-list.ts';
import type { TlsKeys } from './system/mutual-tls.ts';
import { Trust, type TrustNews } from './trust.ts';

/**
 * Where the next certificate comes from: undefined as long as there is no need for one.
 * @param outdated there is need, however young the certificate is: the cluster has a new authority
 */
export type NextKeys = (now: TlsKeys, signal: AbortSignal, outdated: boolean) => Promise<TlsKeys | undefined>;

export interface CredentialsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** @default one that knows of no tracker yet */
  readonly time?: ClusterTime | undefined;
}

/** What the last process here was told by the authority, and where to keep more of it. */
export interface TrustFolder {
  readonly kept: TrustNews;
  keep(news: TrustNews): void;
}

/** A machine that slept notices soon that its certificate is old. */
const LOOK_EVERY_MS = 60_000;
/** Although something is about to change. */
const MIN_LOOK_MS = 250;

/** Who this process is, with what it proves that, and whom it believes. Its certificate is renewed while it runs. */
export class Credentials {
  readonly identity: MemberIdentity;
  /** Id among peers: 40 hex digits. */
  readonly id: string;
  readonly #deps: CredentialsDeps;
  readonly #next: NextKeys;
  readonly #ending = new AbortController();
  /** When certificates, tokens and whatever else has an end are over. */
  readonly time: ClusterTime;
  readonly #trust: Trust;
  readonly #listeners = new Set<() => void>();
  readonly #trustListeners = new Set<() => void>();
  #cancelLook: () => void = () => {};
  #keys: TlsKeys;
  /** One look at a time. */
  #looked = Promise.resolve();

  /** @throws CONFIG_INVALID when the certificate is none of a member */
  constructor(deps: CredentialsDeps, keys: TlsKeys, next: NextKeys, folder?: TrustFolder) {
    this.#deps = deps;
    this.#next = next;
    this.time = deps.time ?? new ClusterTime(deps.clock, deps.wallClockMs);
    const { log } = deps;
    this.#trust = new Trust({ log, time: this.time, keep: folder?.keep.bind(folder) }, keys.ca, folder?.kept);
    this.#keys = { ...keys, ca: this.#trust.ca };
    const identity = identityOf(new X509Certificate(keys.cert));
    if (identity === undefined) {
      const message =
        'our certificate names no member: it needs one URI name like spiffe://CLUSTER/node/NAME';
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    this.identity = identity;
    this.id = peerIdOf(identity);
    this.#lookLater();
  }

  /** What its timers go by. */
  get clock(): Clock {
    return this.#deps.clock;
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

  /** Whether the holder of a certificate that TLS accepted may do what these roles do (see ACTS). */
  check(
    certificate: X509Certificate | undefined,
    roles: readonly MemberRole[],
    nowMs = this.time.nowMs(),
  ): MemberCheck {
    const { cluster } = this.identity;
    return checkMember(certificate, { cluster, roles, revoked: this.revoked, nowMs });
  }

  /** Whether a certificate that was good when it was shown has been taken back since. */
  isRevoked(certificate: X509Certificate): boolean {
    const checked = this.check(certificate, MEMBER_ROLES);
    return checked.kind === 'refused' && checked.reason === 'revoked';
  }

  /** What counts no more, as far as this process knows. */
  get revoked(): RevocationList {
    return this.#trust.revoked;
  }

  /** What the authority has signed for everybody, as far as this process knows. */
  get news(): TrustNews {
    return this.#trust.news;
  }

  /** Takes what an authority that counts has signed, if it is news. Whoever passes it on: it proves itself. */
  trust(news: TrustNews): void {
    if (!this.#trust.take(news)) return;
    this.#refresh();
    for (const listener of this.#trustListeners) listener();
    void this.look();
  }

  /** Calls after each change of {@link news}. @returns what ends that */
  onTrust(listener: () => void): () => void {
    this.#trustListeners.add(listener);
    return () => void this.#trustListeners.delete(listener);
  }

  /** Looks whether there is a new certificate, or the need for one. Never rejects: there is a next time. */
  look(): Promise<void> {
    this.#looked = this.#looked.then(() => this.#look());
    return this.#looked;
  }

  #lookLater(): void {
    if (this.#ending.signal.aborted) return;
    this.#cancelLook();
    const waitMs = Math.min(LOOK_EVERY_MS, Math.max(MIN_LOOK_MS, this.#trust.lookAgainMs ?? LOOK_EVERY_MS));
    this.#cancelLook = this.#deps.clock.after(waitMs, () => void this.look());
  }

  /** Authorities come and go with time too. */
  #refresh(): void {
    const { ca } = this.#trust;
    if (ca.toString() === this.#keys.ca.toString()) return;
    this.#keys = { ...this.#keys, ca };
    for (const listener of this.#listeners) listener();
  }

  async #look(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    const { log } = this.#deps;
    this.#refresh();
    try {
      const outdated = this.#trust.isOutdated(new X509Certificate(this.#keys.cert));
      const next = await this.#next(this.#keys, this.#ending.signal, outdated);
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
      this.#trust.give(next.ca);
      this.#keys = { ...next, ca: this.#trust.ca };
      log.info({ until: certificate.validTo }, 'certificate renewed');
      for (const listener of this.#listeners) listener();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const until = new X509Certificate(this.#keys.cert).validTo;
      log.warn({ problem: describeError(error), until }, 'the certificate could not be renewed yet');
    } finally {
      this.#lookLater();
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
