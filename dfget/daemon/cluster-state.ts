import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClusterSettings, isNewer } from '../../lib/core/cluster-settings.ts';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { createSerial } from '../../lib/store/serial.ts';
import { decodeControl, encodeControl, settingsOf } from '../../lib/wire/control-codec.ts';
import { ClusterChanges, type ClusterChangesDeps } from '../cluster-changes.ts';
import { ALL } from '../paused-names.ts';

/** What holds in the whole cluster, as this node knows it and keeps it. */
export interface ClusterState {
  /** Undefined: nobody has ever set anything. */
  readonly settings: ClusterSettings | undefined;
  /** Calls at once, and with all news. */
  follow(listener: (settings: ClusterSettings | undefined) => void): void;
  /**
   * Sets something for everybody: here at once, kept, and told to the trackers.
   * @returns whether a tracker has confirmed it in time; the others hear of it when one can be reached again
   */
  change(change: (settings: ClusterSettings) => Partial<ClusterSettings>): Promise<boolean>;
}

export async function loadClusterState(
  deps: ClusterChangesDeps & { readonly log: Logger },
  folder: string,
): Promise<ClusterState> {
  const { discovery, log } = deps;
  const path = join(folder, 'cluster-settings.json');
  const inTurn = createSerial();
  const listeners: ((settings: ClusterSettings | undefined) => void)[] = [];
  let settings = await read(path, log);
  // Without a time it was not readable: it holds until somebody tells better, and is told to nobody.
  if (settings !== undefined && settings.atMs > 0) discovery.shareSettings(settings);

  /** At once, even if the disk does not take it. */
  const become = async (news: ClusterSettings): Promise<void> => {
    if (!isNewer(news, settings)) return;
    settings = news;
    for (const listener of listeners) listener(news);
    await inTurn(async () => {
      await writeFile(`${path}.new`, `${encodeControl({ type: 'settings', ...news })}\n`);
      await rename(`${path}.new`, path);
    });
  };
  const changes = new ClusterChanges(deps, (news) => {
    become(news).catch((error: unknown) => {
      log.error({ error: describeError(error) }, 'what the cluster has set is not kept on disk');
    });
  });

  return {
    get settings() {
      return settings;
    },
    follow(listener) {
      listeners.push(listener);
      listener(settings);
    },
    async change(change) {
      const { confirmed, settings: news } = changes.change(change);
      await become(news);
      return await confirmed;
    },
  };
}

/** Of what cannot be read: somebody may have pulled the kill switch. */
const UNREADABLE: ClusterSettings = { atMs: 0, paused: [ALL] };

async function read(path: string, log: Logger): Promise<ClusterSettings | undefined> {
  try {
    const message = decodeControl(await readFile(path, 'utf8'));
    if (message?.type === 'settings') return settingsOf(message);
    log.warn({ path }, 'cannot tell what was paused: everything is');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    log.warn({ path, error: describeError(error) }, 'cannot tell what was paused: everything is');
  }
  return UNREADABLE;
}
