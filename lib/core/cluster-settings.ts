/** What an operator has set for the whole cluster, as one value: the newest replaces all before it. */
export interface ClusterSettings {
  /** Milliseconds since the epoch, of the clock of who set it; see {@link settingsTime}. */
  readonly atMs: number;
  /** Names of upstreams whose pulls go straight to the registry, or `all`. */
  readonly paused: readonly string[];
}

/** Whether `settings` replaces `known`. Of two from the same millisecond, everybody takes the same one. */
export function isNewer(settings: ClusterSettings, known: ClusterSettings | undefined): boolean {
  if (known === undefined) return true;
  if (settings.atMs !== known.atMs) return settings.atMs > known.atMs;
  return JSON.stringify(settings.paused) > JSON.stringify(known.paused);
}

/** The time of settings that are to replace `known`: later than those, even if they come from a clock that is ahead. */
export function settingsTime(nowMs: number, known: ClusterSettings | undefined): number {
  return Math.max(Math.floor(nowMs), (known?.atMs ?? 0) + 1);
}
