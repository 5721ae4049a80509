import type { PeerInfo } from '../../lib/core/node.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { MAX_REPORT_MS, type ReportMessage } from '../../lib/wire/report-messages.ts';
import { ClusterView } from './cluster-view.ts';
import type { LiveMessage, LivePreheat } from './live-messages.ts';

/** A refresh is no shorter, and long enough that all members together report no more than so many times a second. */
const MIN_REFRESH_MS = 1000;
const REPORTS_PER_SECOND = 2000;
/** Members report for so long, and are asked again well before. */
const WATCH_MS = 60_000;
const ASK_AGAIN_MS = 20_000;

/** Of the membership, what watching it needs. */
export interface WatchedMembers {
  all(): Iterable<PeerInfo>;
  sendTo(id: string, text: string): void;
  readonly counts: { readonly members: number; readonly supernodes: number; readonly swarms: number };
}

/** A page that watches. */
export interface Viewer {
  /** One message as JSON. */
  show(json: string): void;
}

/** Asks members to report for as long as somebody watches, and shows pages what has changed, refresh by refresh. */
export class WatchCluster {
  readonly #clock: Clock;
  readonly #members: WatchedMembers;
  readonly #wallClockMs: () => number;
  readonly #preheats: () => readonly LivePreheat[];
  /** As they were last told. */
  #toldPreheats = '';
  readonly #viewers = new Set<Viewer>();
  readonly #newViewers = new Set<Viewer>();
  #view: ClusterView | undefined;
  #refresh = 0;
  #askedMs = 0;
  #cancel = (): void => {};

  constructor(deps: {
    readonly clock: Clock;
    readonly members: WatchedMembers;
    readonly wallClockMs: () => number;
    /** Preheat jobs and plans, the newest first. @default none */
    readonly preheats?: () => readonly LivePreheat[];
  }) {
    this.#clock = deps.clock;
    this.#members = deps.members;
    this.#wallClockMs = deps.wallClockMs;
    this.#preheats = deps.preheats ?? (() => []);
  }

  /** Somebody watches. @returns how to stop */
  watch(viewer: Viewer): () => void {
    this.#newViewers.add(viewer);
    if (this.#view === undefined) this.#begin();
    return () => {
      this.#viewers.delete(viewer);
      this.#newViewers.delete(viewer);
      if (this.#viewers.size + this.#newViewers.size === 0) this.#end();
    };
  }

  joined(peer: PeerInfo): void {
    if (this.#view === undefined) return;
    this.#view.join(peer);
    // Behind its welcome: before that it hears nothing.
    this.#clock.after(0, () => this.#ask(peer.id, true));
  }

  left(id: string): void {
    this.#view?.leave(id);
  }

  reported(id: string, report: ReportMessage): void {
    this.#view?.report(id, report, this.#wallClockMs());
  }

  close(): void {
    this.#viewers.clear();
    this.#newViewers.clear();
    this.#end();
  }

  /** Milliseconds from one refresh to the next. */
  get #everyMs(): number {
    const spread = (this.#members.counts.members * 1000) / REPORTS_PER_SECOND;
    return Math.min(MAX_REPORT_MS, Math.max(MIN_REFRESH_MS, Math.ceil(spread)));
  }

  #begin(): void {
    this.#view = new ClusterView();
    for (const peer of this.#members.all()) this.#view.join(peer);
    this.#askAll(true);
    // The first page sees who is there at once, and what they do with the first reports.
    this.#cancel = this.#clock.after(0, () => this.#show());
  }

  #end(): void {
    // Members stop by themselves.
    this.#cancel();
    this.#view = undefined;
  }

  #show(): void {
    const view = this.#view;
    if (view === undefined) return;
    const everyMs = this.#everyMs;
    this.#cancel = this.#clock.after(everyMs, () => this.#show());
    if (this.#clock.now() - this.#askedMs > ASK_AGAIN_MS) this.#askAll(false);
    const stamp = { refresh: ++this.#refresh, atMs: this.#wallClockMs(), everyMs };
    const { counts } = this.#members;
    const changes = view.takeChanges(counts, stamp);
    const preheats = this.#preheats();
    const text = JSON.stringify(preheats);
    this.#tell(this.#viewers, text === this.#toldPreheats ? changes : { ...changes, preheats });
    this.#toldPreheats = text;
    if (this.#newViewers.size === 0) return;
    this.#tell(this.#newViewers, { ...view.whole(counts, stamp), edges: changes.edges, preheats });
    for (const viewer of this.#newViewers) this.#viewers.add(viewer);
    this.#newViewers.clear();
  }

  #tell(viewers: ReadonlySet<Viewer>, message: LiveMessage): void {
    if (viewers.size === 0) return;
    const json = JSON.stringify(message);
    for (const viewer of viewers) viewer.show(json);
  }

  #askAll(fresh: boolean): void {
    this.#askedMs = this.#clock.now();
    for (const { id } of this.#members.all()) this.#ask(id, fresh);
  }

  #ask(id: string, fresh: boolean): void {
    const watch = { type: 'watch', everyMs: this.#everyMs, forMs: WATCH_MS } as const;
    this.#members.sendTo(id, encodeControl(fresh ? { ...watch, fresh } : watch));
  }
}
