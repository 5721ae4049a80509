import { X509Certificate } from 'node:crypto';
import type { Logger } from '../observe/log.ts';
import type { ClusterTime } from './cluster-time.ts';
import { NOTHING_REVOKED, type RevocationList, readRevocationList } from './revocation-list.ts';
import { believedDuring, certificatesIn, phaseOf, type Rotation, readRotation } from './rotation.ts';

/** What the authority has signed for all members, as the texts in which it is passed on and kept. */
export interface TrustNews {
  readonly rotation?: string;
  readonly revocations?: string;
}

/** News in which either may be missing. */
export function trustNews(rotation: string | undefined, revocations: string | undefined): TrustNews {
  return {
    ...(rotation === undefined ? {} : { rotation }),
    ...(revocations === undefined ? {} : { revocations }),
  };
}

export interface TrustDeps {
  readonly time: ClusterTime;
  readonly log: Logger;
  /** Keeps news for the next start. */
  readonly keep?: ((news: TrustNews) => void) | undefined;
}

/** Members ask for certificates of a new authority within this share of the time that the old one still counts. */
const RENEWED_WITHIN = 0.5;
/** So often within that time a member looks whether it is its turn. */
const LOOKS = 20;

/** Whom a process believes: the authorities that count, and what they have taken back. */
export class Trust {
  readonly #deps: TrustDeps;
  /** As enrolment or the operator gave it; PEM, one or several. */
  #given: string | Buffer;
  #rotation: { readonly text: string; readonly is: Rotation } | undefined;
  #revoked: { readonly text: string; readonly is: RevocationList } | undefined;

  /** @param kept what was kept at the last end */
  constructor(deps: TrustDeps, given: string | Buffer, kept: TrustNews = {}) {
    this.#deps = deps;
    this.#given = given;
    // What does not count any more is no reason for alarm at a start.
    this.#takeRotation(kept.rotation, () => {});
    this.#takeRevocations(kept.revocations, () => {});
  }

  /** The authorities in force now, PEM; the same text as long as it is the same ones. */
  get ca(): string | Buffer {
    if (this.#rotation === undefined) return this.#given;
    return this.#believed().join('');
  }

  get revoked(): RevocationList {
    return this.#revoked?.is ?? NOTHING_REVOKED;
  }

  /** What to tell others; of a rotation nothing any more when it is over: who does not know of it cannot check it. */
  get news(): TrustNews {
    const rotation = this.#phase() === 'done' ? undefined : this.#rotation?.text;
    return trustNews(rotation, this.#revoked?.text);
  }

  /** A new certificate came with these authorities. */
  give(ca: string | Buffer): void {
    this.#given = ca;
  }

  /** @returns whether anything was news, and signed by an authority that counts; everything else changes nothing */
  take(news: TrustNews): boolean {
    // The authority first: it may have signed the list.
    const alarm = (what: string): void =>
      this.#deps.log.warn(`${what} that no authority of ours has signed: not believed`);
    const rotated = this.#takeRotation(news.rotation, () => alarm('a new authority'));
    const revoked = this.#takeRevocations(news.revocations, () => alarm('a list of revocations'));
    const changed = rotated || revoked;
    if (changed) this.#deps.keep?.(trustNews(this.#rotation?.text, this.#revoked?.text));
    return changed;
  }

  /** Whether a certificate has to be one of the new authority by now. Each has its own moment: not all ask at once. */
  isOutdated(certificate: X509Certificate): boolean {
    if (this.#rotation === undefined || this.#phase() !== 'issuing') return false;
    const { dropAtMs, issueAtMs, next } = this.#rotation.is;
    if (certificate.verify(new X509Certificate(next).publicKey)) return false;
    const draw = Number.parseInt(certificate.serialNumber.slice(-4), 16) / 0xffff;
    const wait = (dropAtMs - issueAtMs) * RENEWED_WITHIN * draw;
    return this.#deps.time.nowMs() >= issueAtMs + wait;
  }

  /** How long until something may be other than it is, milliseconds; undefined while no authority is replaced. */
  get lookAgainMs(): number | undefined {
    if (this.#rotation === undefined || this.#phase() === 'done') return undefined;
    const { dropAtMs, issueAtMs } = this.#rotation.is;
    const nowMs = this.#deps.time.nowMs();
    const toNext = (nowMs < issueAtMs ? issueAtMs : dropAtMs) - nowMs;
    return Math.min(toNext, (dropAtMs - issueAtMs) / LOOKS);
  }

  #phase(): ReturnType<typeof phaseOf> | undefined {
    return this.#rotation && phaseOf(this.#rotation.is, this.#deps.time.nowMs());
  }

  #believed(): readonly string[] {
    return believedDuring(certificatesIn(this.#given), this.#rotation?.is, this.#deps.time.nowMs());
  }

  #takeRotation(text: string | undefined, alarm: () => void): boolean {
    if (text === undefined || text === this.#rotation?.text) return false;
    // One at a time: who has got hold of the old key cannot name another heir.
    if (this.#phase() !== undefined && this.#phase() !== 'done') return false;
    const is = readRotation(text, this.#believed());
    if (is === undefined) {
      alarm();
      return false;
    }
    this.#rotation = { text, is };
    const [issuesFrom, dropsOld] = [is.issueAtMs, is.dropAtMs].map((ms) => new Date(ms).toISOString());
    this.#deps.log.warn({ issuesFrom, dropsOld }, 'the cluster gets a new authority');
    return true;
  }

  #takeRevocations(text: string | undefined, alarm: () => void): boolean {
    if (text === undefined || text === this.#revoked?.text) return false;
    const list = this.#authorities()
      .map((authority) => readRevocationList(text, authority.publicKey))
      .find((read) => read !== undefined);
    if (list === undefined) {
      alarm();
      return false;
    }
    if (list.number <= this.revoked.number) return false;
    this.#revoked = { text, is: list };
    const { members, number, serials } = list;
    this.#deps.log.warn(
      { number, members: members.length, serials: serials.length },
      'revocations are in force',
    );
    return true;
  }

  #authorities(): readonly X509Certificate[] {
    return this.#believed().map((pem) => new X509Certificate(pem));
  }
}
