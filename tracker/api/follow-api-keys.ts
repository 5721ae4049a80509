import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { watchFile } from '../../lib/runtime/file-watch.ts';
import { systemFileStamp } from '../../lib/runtime/system-file-stamp.ts';
import { readRequired } from '../../lib/security/system/secret-files.ts';
import { type ApiKeys, parseApiKeys } from './api-keys.ts';

export interface FollowedKeys {
  readonly keys: ApiKeys;
  close(): void;
}

/**
 * The keys of a file, as it is now: a change counts within two seconds. A file that turns wrong changes nothing.
 * @param path undefined: there are none
 * @throws CONFIG_INVALID when the file is not there or wrong at the start
 */
export async function followApiKeys(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  path: string | undefined,
): Promise<FollowedKeys> {
  if (path === undefined) return { keys: [], close() {} };
  const read = (): Promise<ApiKeys> => readKeys(path);
  let keys = await read();
  const close = watchFile({ clock, stamp: systemFileStamp }, path, () => {
    read().then(
      (now) => {
        keys = now;
        log.info({ keys: now.length }, 'the keys of the API are read anew');
      },
      (error: unknown) => log.error({ path, problem: describeError(error) }, 'the keys of the API stay'),
    );
  });
  return {
    get keys() {
      return keys;
    },
    close,
  };
}

/** @throws CONFIG_INVALID when it is no file of keys */
export async function checkApiKeys(path: string | undefined): Promise<void> {
  if (path !== undefined) await readKeys(path);
}

const readKeys = async (path: string): Promise<ApiKeys> => parseApiKeys(await readRequired(path));
