import { isDeepStrictEqual } from 'node:util';
import { kebab } from '../config/load.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';

/** Values by the name of their flag, as in a settings file; they win over all that the process was started with. */
export type PushedValues = Readonly<Record<string, string>>;

/** The settings of a process read anew, with these values besides. @throws CONFIG_INVALID */
export type ReadSettings<C> = (pushed: PushedValues) => C;

/**
 * What it means for a running process that a setting has another value: a function for each setting that can be changed
 * live, by its key. They never fail.
 */
export type LiveTable<C> = { readonly [K in keyof C]?: (config: C) => void };

export type SettingsSource = 'file' | 'cluster';

/** What became of a change: all of it was applied, or nothing. */
export type ChangeOutcome =
  | { readonly kind: 'applied'; readonly names: readonly string[] }
  | { readonly kind: 'refused'; readonly reason: string };

/** The settings that are in force, and how they become others while the process runs. */
export class LiveSettings<C extends object> {
  readonly #deps: { readonly log: Logger; readonly metrics: Pick<Metrics, 'settingsChanges'> };
  readonly #read: ReadSettings<C>;
  readonly #table: LiveTable<C>;
  readonly #refusals = new Map<SettingsSource, string>();
  #config: C;
  #pushed: PushedValues = {};

  /** @param config as read at the start */
  constructor(
    deps: { readonly log: Logger; readonly metrics: Pick<Metrics, 'settingsChanges'> },
    {
      config,
      read,
      table,
    }: { readonly config: C; readonly read: ReadSettings<C>; readonly table: LiveTable<C> },
  ) {
    this.#deps = deps;
    this.#config = config;
    this.#read = read;
    this.#table = table;
  }

  /** In force now. */
  get config(): C {
    return this.#config;
  }

  /** Why the last change of each source was refused, if it was. */
  get refusals(): readonly string[] {
    return [...this.#refusals].map(
      ([source, reason]) => `settings of the ${source} are not in force: ${reason}`,
    );
  }

  /** The settings file has changed. */
  reload(): ChangeOutcome {
    return this.#note('file', this.#change(this.#pushed));
  }

  /** The cluster sets these values, and none that it set before. */
  push(values: PushedValues): ChangeOutcome {
    if (isDeepStrictEqual(values, this.#pushed)) {
      this.#refusals.delete('cluster');
      return { kind: 'applied', names: [] };
    }
    const outcome = this.#note('cluster', this.#change(values));
    if (outcome.kind === 'applied') this.#pushed = values;
    return outcome;
  }

  #change(pushed: PushedValues): ChangeOutcome {
    let next: C;
    try {
      requireLive(Object.keys(pushed), this.#table);
      next = this.#read(pushed);
    } catch (error) {
      return { kind: 'refused', reason: describeError(error) };
    }
    // One that is not set may be absent.
    const keys = new Set([...Object.keys(next), ...Object.keys(this.#config)]) as Set<keyof C & string>;
    const changed = [...keys].filter((key) => !isDeepStrictEqual(next[key], this.#config[key]));
    const fixed = changed.filter((key) => this.#table[key] === undefined);
    if (fixed.length > 0) {
      const reason = `${fixed.map(kebab).join(', ')}: cannot be changed while the process runs; restart it, or "dfget upgrade" a node`;
      return { kind: 'refused', reason };
    }
    this.#config = next;
    for (const key of changed) this.#table[key]?.(next);
    return { kind: 'applied', names: changed.map(kebab) };
  }

  #note(source: SettingsSource, outcome: ChangeOutcome): ChangeOutcome {
    const { log, metrics } = this.#deps;
    if (outcome.kind === 'refused') {
      this.#refusals.set(source, outcome.reason);
      log.error({ source, reason: outcome.reason }, 'new settings are refused: nothing is changed');
    } else {
      this.#refusals.delete(source);
      if (outcome.names.length > 0) log.warn({ source, names: outcome.names }, 'new settings are in force');
    }
    metrics.settingsChanges.inc({ source, outcome: outcome.kind });
    return outcome;
  }
}

/** @throws CONFIG_INVALID when one of the names means nothing live */
export function requireLive(names: readonly string[], table: object): void {
  const live = Object.keys(table).map(kebab);
  const wrong = names.filter((name) => !live.includes(name));
  if (wrong.length === 0) return;
  const message = `${wrong.join(', ')}: cannot be changed while nodes run; what can be: ${live.join(', ')}`;
  throw new DamselflyError('CONFIG_INVALID', message);
}
