import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Metrics } from '../../lib/observe/metrics.ts';

/** Stands for every upstream. */
const ALL = 'all';

/** The kill switch: clients of a paused upstream get the registry's own answers, past store and swarm. */
export interface Pause {
  readonly isPaused: (upstream: string) => boolean;
  /** Names of upstreams, or `all`. */
  readonly paused: readonly string[];
  /** From the next request on, and after a restart too. @throws UPSTREAM_UNKNOWN */
  pause(name: string): Promise<void>;
  /** `all` resumes everything. @throws UPSTREAM_UNKNOWN, CONFIG_INVALID when everything is paused and only one is to go on */
  resume(name: string): Promise<void>;
}

/** Kept in `folder`, so that a daemon that starts again stays paused. */
export async function loadPause(
  deps: { readonly log: Logger; readonly metrics: Metrics },
  options: { readonly folder: string; readonly upstreams: readonly string[] },
): Promise<Pause> {
  const { log, metrics } = deps;
  const { folder, upstreams } = options;
  const path = join(folder, 'paused.json');
  let names = await read(path, log);
  if (names.length > 0) log.warn({ paused: names }, 'paused: pulls go straight to the registry');

  const isPaused = (upstream: string): boolean => names.includes(ALL) || names.includes(upstream);
  const tell = (): void => metrics.paused.set(upstreams.filter(isPaused).length);
  tell();

  const requireKnown = (name: string): void => {
    if (name === ALL || upstreams.includes(name)) return;
    const known = upstreams.join(', ') || 'none';
    const message = `no upstream ${JSON.stringify(name)}; configured: ${known}`;
    throw new DamselflyError('UPSTREAM_UNKNOWN', message, { upstream: name });
  };
  const become = async (next: readonly string[]): Promise<void> => {
    // At once, even if the disk does not take it.
    names = next;
    tell();
    log.warn({ paused: names }, names.length > 0 ? 'paused: pulls go straight to the registry' : 'resumed');
    await writeFile(`${path}.new`, `${JSON.stringify(names)}\n`);
    await rename(`${path}.new`, path);
  };

  return {
    isPaused,
    get paused() {
      return names;
    },
    async pause(name) {
      requireKnown(name);
      await become(name === ALL ? [ALL] : [...names.filter((each) => each !== name), name]);
    },
    async resume(name) {
      requireKnown(name);
      if (name !== ALL && names.includes(ALL)) {
        const message = `everything is paused: resume all, then pause the upstreams other than ${name}`;
        throw new DamselflyError('CONFIG_INVALID', message);
      }
      await become(name === ALL ? [] : names.filter((each) => each !== name));
    },
  };
}

async function read(path: string, log: Logger): Promise<readonly string[]> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (Array.isArray(value)) return value.filter((name) => typeof name === 'string');
    throw new DamselflyError('INTERNAL', 'not a list of names');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    // Somebody pulled the switch once: the safe reading of what cannot be read.
    log.warn({ path, error: describeError(error) }, 'cannot tell what was paused: everything is');
    return [ALL];
  }
}
