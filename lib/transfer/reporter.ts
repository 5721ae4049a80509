import { VERSION } from '../core/version.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Trace, TraceEvent } from '../observe/trace.ts';
import { WaitBook } from '../observe/wait-book.ts';
import type { Clock } from '../runtime/clock.ts';
import {
  MAX_REPORT_BANS,
  MAX_REPORT_BLOBS,
  MAX_REPORT_SENDERS,
  type ReportedBlob,
  type ReportedBytes,
  type ReportMessage,
  type WatchMessage,
} from '../wire/report-messages.ts';
import type { SwarmStatus } from './swarm-status.ts';

type Ban = ReportMessage['bans'][number];

/** What one tracker was told, and what is new since. */
interface Watcher {
  readonly send: (report: ReportMessage) => void;
  everyMs: number;
  untilMs: number;
  fresh: boolean;
  /** Digest -> its handle, and how it was told. */
  readonly told: Map<string, ReportedBlob>;
  handles: number;
  readonly from: Map<string, number>;
  readonly waits: WaitBook;
  bans: Ban[];
  sinceMs: number;
  cancel: () => void;
}

/**
 * Tells trackers what this process does, for as long as somebody watches there, and only what has changed: totals as in
 * its metrics, how far its blobs are, who sent it bytes, what its clients wait for. Costs nothing while nobody watches.
 */
export class Reporter {
  readonly #clock: Clock;
  readonly #metrics: Pick<Metrics, 'receivedBytes' | 'sentBytes'>;
  readonly #watchers = new Map<object, Watcher>();
  readonly #bans: Ban[] = [];
  #status: () => SwarmStatus['blobs'] = () => [];

  constructor(clock: Clock, metrics: Pick<Metrics, 'receivedBytes' | 'sentBytes'>) {
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** Whose blobs it tells of. */
  follow(status: () => SwarmStatus['blobs']): void {
    this.#status = status;
  }

  /** For the trace of the process. */
  readonly note: Trace = (atMs: number, event: TraceEvent): void => {
    if (event.kind === 'ban') {
      if (this.#bans.length === MAX_REPORT_BANS) this.#bans.shift();
      this.#bans.push({ peer: event.peer, reason: event.reason });
    }
    for (const watcher of this.#watchers.values()) {
      watcher.waits.note(atMs, event);
      if (event.kind === 'ban') watcher.bans.push({ peer: event.peer, reason: event.reason });
      if (event.kind !== 'piece' || event.from === undefined) continue;
      watcher.from.set(event.from, (watcher.from.get(event.from) ?? 0) + event.bytes);
    }
  };

  /** A tracker says that somebody watches. @param connection the one over which it said so, and `send` answers */
  watched(
    connection: object,
    { everyMs, forMs, fresh }: WatchMessage,
    send: (report: ReportMessage) => void,
  ): void {
    const now = this.#clock.now();
    const known = this.#watchers.get(connection);
    if (known !== undefined && fresh !== true) {
      Object.assign(known, { everyMs, untilMs: now + forMs });
      return;
    }
    known?.cancel();
    const watcher: Watcher = {
      ...{ send, everyMs, untilMs: now + forMs, fresh: true, told: new Map(), handles: 0 },
      ...{ from: new Map(), waits: new WaitBook(), bans: [...this.#bans], sinceMs: now, cancel() {} },
    };
    this.#watchers.set(connection, watcher);
    void this.#tell(connection, watcher);
  }

  close(): void {
    for (const { cancel } of this.#watchers.values()) cancel();
    this.#watchers.clear();
  }

  async #tell(connection: object, watcher: Watcher): Promise<void> {
    const bytes = await this.#bytes();
    const now = this.#clock.now();
    if (this.#watchers.get(connection) !== watcher) return;
    if (now > watcher.untilMs) {
      this.#watchers.delete(connection);
      return;
    }
    watcher.send(this.#report(watcher, bytes, now));
    watcher.cancel = this.#clock.after(watcher.everyMs, () => void this.#tell(connection, watcher));
  }

  #report(watcher: Watcher, bytes: ReportedBytes, now: number): ReportMessage {
    const ofMs = Math.round(now - watcher.sinceMs);
    watcher.sinceMs = now;
    const { blobs, gone } = this.#blobs(watcher);
    const from = [...watcher.from].sort(([, a], [, b]) => b - a).slice(0, MAX_REPORT_SENDERS);
    watcher.from.clear();
    const bans = watcher.bans.splice(0, MAX_REPORT_BANS);
    const slow = this.#slow(watcher, ofMs);
    const fresh = watcher.fresh ? ({ fresh: true, version: VERSION } as const) : {};
    watcher.fresh = false;
    return { type: 'report', ...fresh, bytes, blobs, gone, from, bans, ...slow };
  }

  #slow(watcher: Watcher, ofMs: number): Pick<ReportMessage, 'slow'> {
    const [longest] = watcher.waits.take();
    // A client that still waits has not said so yet.
    const waiting = Math.max(0, ...this.#status().map(({ waitingMs }) => waitingMs));
    const unheard = Math.round(Math.min(waiting, ofMs));
    if (longest === undefined || longest.ms < unheard) {
      return unheard > 0 ? { slow: { cause: 'source', ms: unheard, ofMs } } : {};
    }
    const { cause, ms, on } = longest;
    const onlyPeers = on === undefined ? {} : { on };
    // Several clients wait at once.
    return { slow: { cause, ...onlyPeers, ms: Math.min(ofMs, Math.round(ms)), ofMs } };
  }

  /** Those that are not as they were told, the ones that clients read first. */
  #blobs(watcher: Watcher): Pick<ReportMessage, 'blobs' | 'gone'> {
    const { told } = watcher;
    const shared = this.#status();
    const here = new Set<string>(shared.map(({ digest }) => digest));
    const gone: number[] = [];
    for (const [digest, { handle }] of told) {
      if (here.has(digest) || gone.length === MAX_REPORT_BLOBS) continue;
      told.delete(digest);
      gone.push(handle);
    }
    const changed = shared.filter(({ digest, held, readers }) => {
      const before = told.get(digest);
      return before?.held !== held || before.readers !== readers;
    });
    const blobs = changed
      .sort((a, b) => b.readers - a.readers)
      .slice(0, MAX_REPORT_BLOBS)
      .map(({ digest, held, pieces, readers, size }): ReportedBlob => {
        const before = told.get(digest);
        const now = { handle: before?.handle ?? watcher.handles++, held, readers };
        told.set(digest, now);
        return before === undefined ? { ...now, digest, size, pieces } : now;
      });
    return { blobs, gone };
  }

  async #bytes(): Promise<ReportedBytes> {
    const [received, sent] = await Promise.all([
      this.#metrics.receivedBytes.get(),
      this.#metrics.sentBytes.get(),
    ]);
    const of = (values: readonly { value: number; labels: object }[], name: string): number =>
      values.find(({ labels }) => Object.values(labels).includes(name))?.value ?? 0;
    return {
      origin: of(received.values, 'origin'),
      supernode: of(received.values, 'supernode'),
      peer: of(received.values, 'peer'),
      archive: of(received.values, 'archive'),
      objectStore: of(received.values, 'object-store'),
      toPeers: of(sent.values, 'peer'),
      toClients: of(sent.values, 'client'),
    };
  }
}
