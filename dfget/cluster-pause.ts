import { type ClusterSettings, settingsTime } from '../lib/core/cluster-settings.ts';
import type { Discovery } from '../lib/discovery/discovery.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { type PauseAction, switched } from './paused-names.ts';

/** How long a tracker has to say that it knows, below what a command waits for its answer. */
const CONFIRM_MS = 3_000;

export interface ClusterPauseDeps {
  readonly discovery: Pick<Discovery, 'settings' | 'shareSettings' | 'listenSettings'>;
  readonly clock: Clock;
  readonly wallClockMs: () => number;
}

/** The kill switch of all nodes, as trackers tell it and as this process sets it. */
export class ClusterPause {
  readonly #deps: ClusterPauseDeps;
  readonly #waiting = new Set<() => void>();

  /** @param onNews what holds from now on, in the whole cluster */
  constructor(deps: ClusterPauseDeps, onNews: (settings: ClusterSettings) => void) {
    this.#deps = deps;
    deps.discovery.listenSettings((settings) => {
      onNews(settings);
      for (const confirm of this.#waiting) confirm();
    });
  }

  get paused(): readonly string[] {
    return this.#deps.discovery.settings?.paused ?? [];
  }

  /** @throws CONFIG_INVALID as {@link switched} does */
  change(
    action: PauseAction,
    name: string,
  ): { readonly settings: ClusterSettings; readonly confirmed: Promise<boolean> } {
    const { discovery, wallClockMs } = this.#deps;
    const paused = switched(this.paused, action, name);
    const settings = { atMs: settingsTime(wallClockMs(), discovery.settings), paused };
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
