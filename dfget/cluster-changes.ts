import { type ClusterSettings, settingsTime } from '../lib/core/cluster-settings.ts';
import type { Discovery } from '../lib/discovery/discovery.ts';
import type { Clock } from '../lib/runtime/clock.ts';

/** How long a tracker has to say that it knows, below what a command waits for its answer. */
const CONFIRM_MS = 3_000;

export interface ClusterChangesDeps {
  readonly discovery: Pick<Discovery, 'settings' | 'shareSettings' | 'listenSettings'>;
  readonly clock: Clock;
  readonly wallClockMs: () => number;
  /** Signs them in the name of who may set any. @default as they are: the others believe everybody */
  readonly sign?: SignSettings | undefined;
}

/** @throws IDENTITY_REFUSED when this process may not set anything for all */
export type SignSettings = (settings: ClusterSettings) => ClusterSettings;

/** The settings of all nodes, as trackers tell them and as this process sets them. */
export class ClusterChanges {
  readonly #deps: ClusterChangesDeps;
  readonly #waiting = new Set<() => void>();

  /** @param onNews what holds from now on, in the whole cluster */
  constructor(deps: ClusterChangesDeps, onNews: (settings: ClusterSettings) => void) {
    this.#deps = deps;
    deps.discovery.listenSettings((settings) => {
      onNews(settings);
      for (const confirm of this.#waiting) confirm();
    });
  }

  get settings(): ClusterSettings {
    return this.#deps.discovery.settings ?? { atMs: 0, paused: [] };
  }

  /** @param change what is to be other than it is; of no effect when it throws */
  change(change: (settings: ClusterSettings) => Partial<ClusterSettings>): {
    readonly settings: ClusterSettings;
    readonly confirmed: Promise<boolean>;
  } {
    const { discovery, sign = (unsigned) => unsigned, wallClockMs } = this.#deps;
    const { settings: before } = this;
    const atMs = settingsTime(wallClockMs(), discovery.settings);
    const settings = sign({ ...before, ...change(before), atMs });
    const confirmed = this.#confirmed();
    discovery.shareSettings(settings);
    return { settings, confirmed };
  }

  /** Whether a tracker says in time that it knows what we know. */
  #confirmed(): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (known: boolean): void => {
        cancel();
        this.#waiting.delete(confirm);
        resolve(known);
      };
      const confirm = (): void => end(true);
      const cancel = this.#deps.clock.after(CONFIRM_MS, () => end(false));
      this.#waiting.add(confirm);
    });
  }
}
