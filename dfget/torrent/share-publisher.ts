import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import { checkedTls } from '../../lib/security/system/mutual-tls.ts';
import { SHARES_EVERY_MS, SHARES_PATH, type SharesMessage } from '../../lib/wire/bittorrent-messages.ts';

/** A tracker that does not answer by then is asked again the next time. */
const ANSWER_MS = 5_000;

export interface SharePublisherDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly credentials?: Credentials | undefined;
  /** Id of this node. */
  readonly owner: () => string;
  /** What it shares now. */
  readonly shares: () => readonly { readonly infoHash: string; readonly passkey: string }[];
}

/** Tells trackers what BitTorrent clients may announce to them, again and again while there is something. */
export class SharePublisher {
  readonly #deps: SharePublisherDeps;
  readonly #trackers: readonly string[];
  readonly #ending = new AbortController();
  #cancelNext: (() => void) | undefined;
  #told = false;
  /** Why the last attempt failed, by tracker. */
  readonly problems = new Map<string, string>();

  /** @param trackers URLs of their public ports */
  constructor(deps: SharePublisherDeps, trackers: readonly string[]) {
    this.#deps = deps;
    this.#trackers = trackers;
  }

  /** Tells them what is shared now; never rejects. The last "nothing" is told once. */
  async publish(): Promise<void> {
    const shares = this.#deps.shares();
    if (shares.length > 0) {
      this.#cancelNext ??= every(this.#deps.clock, SHARES_EVERY_MS, () => void this.publish());
    } else {
      this.#cancelNext?.();
      this.#cancelNext = undefined;
      if (!this.#told) return;
    }
    this.#told = shares.length > 0;
    const message: SharesMessage = {
      owner: this.#deps.owner(),
      shares: shares.map(({ infoHash, passkey }) => ({ infoHash, passkeyHash: hashOf(passkey) })),
    };
    await Promise.all(this.#trackers.map((tracker) => this.#tell(tracker, message)));
  }

  close(): void {
    this.#cancelNext?.();
    this.#ending.abort();
  }

  async #tell(tracker: string, message: SharesMessage): Promise<void> {
    const { clock, log } = this.#deps;
    const late = new AbortController();
    const cancel = clock.after(ANSWER_MS, () => late.abort(new Error('no answer in time')));
    try {
      const status = await this.#put(tracker, message, AbortSignal.any([late.signal, this.#ending.signal]));
      if (status !== 204) throw new Error(status === 404 ? 'it is an older tracker' : `status ${status}`);
      this.problems.delete(tracker);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const problem = `${tracker}: ${describeError(late.signal.aborted ? late.signal.reason : error)}`;
      if (!this.problems.has(tracker)) log.warn({ problem }, 'a tracker does not take what is shared');
      this.problems.set(tracker, problem);
    } finally {
      cancel();
    }
  }

  async #put(tracker: string, message: SharesMessage, signal: AbortSignal): Promise<number> {
    const { credentials } = this.#deps;
    const url = new URL(SHARES_PATH, tracker);
    const body = JSON.stringify(message);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const shared = { method: 'PUT', signal, agent: false, headers };
    const tls = credentials === undefined ? {} : checkedTls(credentials, ['tracker']);
    const request =
      url.protocol === 'https:' ? httpsRequest(url, { ...shared, ...tls }) : httpRequest(url, shared);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve);
      request.on('error', reject);
    });
    request.end(body);
    const response = await answered;
    response.destroy();
    return response.statusCode ?? 0;
  }
}

function hashOf(passkey: string): string {
  return createHash('sha256').update(passkey).digest('hex');
}
