import { LiveSettings, type LiveTable, requireLive } from '../../lib/command/live-settings.ts';
import type { SettingsSources } from '../../lib/command/process-command.ts';
import { checkSetting, kebab } from '../../lib/config/load.ts';
import {
  type ClusterSettings,
  changedRules,
  type SettingsTarget,
  valuesFor,
} from '../../lib/core/cluster-settings.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { HostParts } from '../../lib/transfer/host-parts.ts';
import { liveHostSettings } from '../../lib/transfer/live-host-settings.ts';
import { MAX_SETTINGS_RULES, MAX_SETTINGS_VALUES } from '../../lib/wire/control-messages.ts';
import type { SettingsAnswer, SettingsChange } from '../local-protocol.ts';
import type { ClusterState } from './cluster-state.ts';
import { type DaemonConfig, daemonConfig } from './config.ts';

type Live = { readonly [K in keyof DaemonConfig]?: (config: DaemonConfig) => void };

/** What of the settings of a node can be changed while it runs. */
export function liveDaemonSettings(
  parts: Pick<HostParts, 'limits' | 'pool'>,
  log: Pick<Logger, 'level'>,
): Live {
  const table: LiveTable<DaemonConfig> = {
    ...liveHostSettings(parts, log),
    // Looked up when it is needed.
    drainTimeout: () => {},
  };
  return table;
}

/** The settings of a node that runs: its own, and over them those of the cluster. */
export class DaemonSettings {
  readonly #live: LiveSettings<DaemonConfig>;
  readonly #table: Live;
  readonly #stopWatching: () => void;

  constructor(
    { log, parts }: { readonly log: Logger; readonly parts: HostParts },
    { config, read, watch }: SettingsSources<DaemonConfig> & { readonly config: DaemonConfig },
  ) {
    this.#table = liveDaemonSettings(parts, log);
    const { metrics } = parts;
    this.#live = new LiveSettings({ log, metrics }, { config, read, table: this.#table });
    this.#stopWatching = watch(() => this.#live.reload());
  }

  get config(): DaemonConfig {
    return this.#live.config;
  }

  get refusals(): readonly string[] {
    return this.#live.refusals;
  }

  /** What the cluster sets for this node is in force from now on. */
  obey(self: PeerInfo, settings: ClusterSettings | undefined): void {
    this.#live.push(settings === undefined ? {} : valuesFor(self, settings));
  }

  answer({ settings }: Pick<ClusterState, 'settings'>): SettingsAnswer {
    const inForce = Object.keys(this.#table).map((key) => [
      kebab(key),
      shown(this.config[key as keyof DaemonConfig]),
    ]);
    const rules = settings?.rules ?? [];
    return {
      inForce: Object.fromEntries(inForce) as SettingsAnswer['inForce'],
      rules,
      refused: this.refusals,
      confirmed: true,
    };
  }

  /**
   * Sets something for all nodes, or for some.
   * @throws CONFIG_INVALID, and nothing is changed anywhere
   */
  async change(cluster: ClusterState, change: SettingsChange): Promise<SettingsAnswer> {
    const confirmed = await cluster.change(ruleChange(change));
    return { ...this.answer(cluster), confirmed };
  }

  close(): void {
    this.#stopWatching();
  }
}

/**
 * What a change makes of the cluster's settings.
 * @throws CONFIG_INVALID for what no node would take; so does what it returns when there would be too many
 */
export function ruleChange({
  node,
  set,
  unset,
  zone,
}: SettingsChange): (settings: ClusterSettings) => Pick<ClusterSettings, 'rules'> {
  requireLive([...Object.keys(set ?? {}), ...(unset ?? [])], liveDaemonSettings(NO_PARTS, { level: '' }));
  for (const [name, value] of Object.entries(set ?? {})) {
    checkSetting(daemonConfig, name, value);
  }
  const target: SettingsTarget = {
    ...(zone === undefined ? {} : { zone }),
    ...(node === undefined ? {} : { node }),
  };
  return ({ rules = [] }) => {
    const next = changedRules(rules, target, { ...(set && { set }), ...(unset && { unset }) });
    const tooMany = next.some(({ values }) => Object.keys(values).length > MAX_SETTINGS_VALUES);
    if (next.length <= MAX_SETTINGS_RULES && !tooMany) return { rules: next };
    const message = `settings for at most ${MAX_SETTINGS_RULES} groups of nodes, ${MAX_SETTINGS_VALUES} for each: unset some`;
    throw new DamselflyError('CONFIG_INVALID', message);
  };
}

/** Of the table only the names are looked at. */
const NO_PARTS = {} as Pick<HostParts, 'limits' | 'pool'>;

function shown(value: unknown): string | number {
  if (value === undefined) return 'default';
  if (typeof value === 'number') return Number.isFinite(value) ? value : 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
