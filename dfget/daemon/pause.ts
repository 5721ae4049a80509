import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClusterSettings, isNewer } from '../../lib/core/cluster-settings.ts';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Metrics } from '../../lib/observe/metrics.ts';
import { findUpstreamName } from '../../lib/origin/upstream-pattern.ts';
import { createSerial } from '../../lib/store/serial.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import { ClusterPause, type ClusterPauseDeps } from '../cluster-pause.ts';
import type { PauseAnswer, PauseScope } from '../local-protocol.ts';
import { ALL, type PauseAction, switched } from '../paused-names.ts';

/** The kill switch: clients of a paused upstream get the registry's own answers, past store and swarm. */
export interface Pause {
  readonly isPaused: (upstream: string) => boolean;
  /** Names of upstreams, or `all`: what is paused here or in the whole cluster. */
  readonly paused: readonly string[];
  /** Those of them that are paused on this node, whatever the cluster says. */
  readonly pausedHere: readonly string[];
  /**
   * From the next request on, and after a restart too. Resuming `all` resumes everything in that scope.
   * @param scope by default the cluster, when there is a tracker
   * @throws UPSTREAM_UNKNOWN, CONFIG_INVALID when everything is paused and only one is to go on
   */
  change(action: PauseAction, name: string, scope?: PauseScope): Promise<PauseAnswer>;
}

export interface PauseDeps extends ClusterPauseDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface PauseOptions {
  /** Where both switches are kept, so that a daemon that starts again stays paused. */
  readonly folder: string;
  readonly upstreams: readonly string[];
  /** Whether there are others to pause. */
  readonly hasTracker: boolean;
}

export async function loadPause(deps: PauseDeps, options: PauseOptions): Promise<Pause> {
  const { discovery, log, metrics } = deps;
  const { folder, hasTracker, upstreams } = options;
  const files = { node: join(folder, 'paused.json'), cluster: join(folder, 'cluster-settings.json') };
  const inTurn = createSerial();
  let here = (await read(files.node, log, namesOf)) ?? [];
  let cluster = await read(files.cluster, log, settingsOf);
  // Without a time it was not readable: it holds until somebody tells better, and is told to nobody.
  if (cluster !== undefined && cluster.atMs > 0) discovery.shareSettings(cluster);

  const paused = (): readonly string[] => [...new Set([...here, ...(cluster?.paused ?? [])])];
  /** One of a family of registries is paused with the name of all, and by its own. */
  const isPaused = (upstream: string): boolean => {
    const names = paused();
    if (names.length === 0) return false;
    const family = findUpstreamName(upstreams, upstream);
    return names.some((name) => name === ALL || name === upstream || name === family);
  };
  const count = (): number => {
    const names = paused();
    return names.includes(ALL) ? upstreams.length : names.filter((name) => isKnown(name, upstreams)).length;
  };
  const tell = (): void => {
    metrics.paused.set(count());
    const names = paused();
    log.warn({ paused: names }, names.length > 0 ? 'paused: pulls go straight to the registry' : 'resumed');
  };
  metrics.paused.set(count());
  if (paused().length > 0) tell();

  const save = (path: string, text: string): Promise<void> =>
    inTurn(async () => {
      await writeFile(`${path}.new`, `${text}\n`);
      await rename(`${path}.new`, path);
    });
  /** At once, even if the disk does not take it. */
  const becomeCluster = async (settings: ClusterSettings): Promise<void> => {
    if (!isNewer(settings, cluster)) return;
    cluster = settings;
    tell();
    await save(files.cluster, encodeControl({ type: 'settings', ...settings }));
  };
  const switchOfAll = new ClusterPause(deps, (settings) => {
    becomeCluster(settings).catch((error: unknown) => {
      log.error({ error: describeError(error) }, 'what the cluster has paused is not kept on disk');
    });
  });

  return {
    isPaused,
    get paused() {
      return paused();
    },
    get pausedHere() {
      return here;
    },
    async change(action, name, scope = hasTracker ? 'cluster' : 'node') {
      requireKnown(name, upstreams);
      if (scope === 'node') {
        here = switched(here, action, name);
        tell();
        await save(files.node, JSON.stringify(here));
        return { paused: here, otherSwitch: cluster?.paused ?? [], scope, confirmed: true };
      }
      if (!hasTracker) {
        const message = 'this daemon has no tracker, and so no cluster: give --tracker, or say --this-node';
        throw new DamselflyError('CONFIG_INVALID', message);
      }
      const { confirmed, settings } = switchOfAll.change(action, name);
      await becomeCluster(settings);
      return { scope, confirmed: await confirmed, paused: switchOfAll.paused, otherSwitch: here };
    },
  };
}

function requireKnown(name: string, upstreams: readonly string[]): void {
  if (name === ALL || isKnown(name, upstreams)) return;
  const known = upstreams.join(', ') || 'none';
  const message = `no upstream ${JSON.stringify(name)}; configured: ${known}`;
  throw new DamselflyError('UPSTREAM_UNKNOWN', message, { upstream: name });
}

/** An upstream, or a registry that falls under one. */
function isKnown(name: string, upstreams: readonly string[]): boolean {
  return upstreams.includes(name) || findUpstreamName(upstreams, name) !== undefined;
}

interface Reader<T> {
  readonly parse: (text: string) => T | undefined;
  /** Somebody pulled the switch once: the safe reading of what cannot be read. */
  readonly unreadable: T;
}

const namesOf: Reader<readonly string[]> = {
  parse(text) {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : undefined;
  },
  unreadable: [ALL],
};

const settingsOf: Reader<ClusterSettings> = {
  parse(text) {
    const message = decodeControl(text);
    return message?.type === 'settings' ? { atMs: message.atMs, paused: message.paused } : undefined;
  },
  unreadable: { atMs: 0, paused: [ALL] },
};

async function read<T>(path: string, log: Logger, { parse, unreadable }: Reader<T>): Promise<T | undefined> {
  try {
    const value = parse(await readFile(path, 'utf8'));
    if (value !== undefined) return value;
    log.warn({ path }, 'cannot tell what was paused: everything is');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    log.warn({ path, error: describeError(error) }, 'cannot tell what was paused: everything is');
  }
  return unreadable;
}
