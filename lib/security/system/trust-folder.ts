import { join } from 'node:path';
import { describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { TrustFolder } from '../credentials.ts';
import { type TrustNews, trustNews } from '../trust.ts';
import { readIfThere, writeWhole } from './secret-files.ts';

const NAMES = ['rotation', 'revocations'] as const;

/** Keeps what the authority has signed for all members beside the certificate. @throws CONFIG_INVALID */
export async function openTrustFolder(folder: string, log: Logger): Promise<TrustFolder> {
  const [rotation, revocations] = await Promise.all(NAMES.map((name) => readIfThere(join(folder, name))));
  let writing = Promise.resolve();
  const write = async (news: TrustNews): Promise<void> => {
    for (const name of NAMES) {
      const text = news[name];
      if (text !== undefined) await writeWhole(join(folder, name), `${text}\n`, 0o644);
    }
  };
  return {
    kept: trustNews(rotation?.trim(), revocations?.trim()),
    keep(news) {
      writing = writing
        .then(() => write(news))
        .catch((error: unknown) => {
          log.error(
            { problem: describeError(error) },
            'what the authority says is not kept for the next start',
          );
        });
    },
  };
}
