import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Metrics } from '../../lib/observe/metrics.ts';
import { findUpstreamName } from '../../lib/origin/upstream-pattern.ts';
import { createSerial } from '../../lib/store/serial.ts';
import type { PauseAnswer, PauseScope } from '../local-protocol.ts';
import { ALL, type PauseAction, switched } from '../paused-names.ts';
import type { ClusterState } from './cluster-state.ts';

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

export interface PauseDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly cluster: ClusterState;
}

export interface PauseOptions {
  /** Where this node's switch is kept, so that a daemon that starts again stays paused. */
  readonly folder: string;
  readonly upstreams: readonly string[];
  /** Whether there are others to pause. */
  readonly hasTracker: boolean;
}

export async function loadPause(deps: PauseDeps, options: PauseOptions): Promise<Pause> {
  const { cluster, log, metrics } = deps;
  const { folder, hasTracker, upstreams } = options;
  const file = join(folder, 'paused.json');
  const inTurn = createSerial();
  let here = (await read(file, log)) ?? [];

  const inCluster = (): readonly string[] => cluster.settings?.paused ?? [];
  const paused = (): readonly string[] => [...new Set([...here, ...inCluster()])];
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
  let told = '[]';
  const tell = (): void => {
    metrics.paused.set(count());
    const names = paused();
    if (JSON.stringify(names) === told) return;
    told = JSON.stringify(names);
    log.warn({ paused: names }, names.length > 0 ? 'paused: pulls go straight to the registry' : 'resumed');
  };
  cluster.follow(tell);

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
        await inTurn(async () => {
          await writeFile(`${file}.new`, `${JSON.stringify(here)}\n`);
          await rename(`${file}.new`, file);
        });
        return { paused: here, otherSwitch: inCluster(), scope, confirmed: true };
      }
      if (!hasTracker) {
        const message = 'this daemon has no tracker, and so no cluster: give --tracker, or say --this-node';
        throw new DamselflyError('CONFIG_INVALID', message);
      }
      const confirmed = await cluster.change(({ paused }) => ({ paused: switched(paused, action, name) }));
      return { scope, confirmed, paused: inCluster(), otherSwitch: here };
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

/** What cannot be read is taken for everything: somebody pulled the switch once. */
async function read(path: string, log: Logger): Promise<readonly string[] | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (Array.isArray(value)) return value.filter((name) => typeof name === 'string');
    log.warn({ path }, 'cannot tell what was paused: everything is');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    log.warn({ path, error: describeError(error) }, 'cannot tell what was paused: everything is');
  }
  return [ALL];
}
