import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { request } from 'undici';
import { hasCode } from '../../lib/core/errors.ts';
import type { DaemonClient } from '../daemon-client.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { Patient } from './check.ts';

/** What does not answer within it does not answer in time for a pull either. */
const ANSWER_WAIT_MS = 5_000;
const REGISTRIES_WAIT_MS = 15_000;

/** The machine that this runs on. @throws what the daemon throws, unless there is none */
export async function thisMachine(daemon: DaemonClient): Promise<Patient> {
  return {
    status: await statusOf(daemon),
    registries: () => daemon.registries(AbortSignal.timeout(REGISTRIES_WAIT_MS)),
    async get(url) {
      const answer = await request(url, { signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
      const { date } = answer.headers;
      return {
        status: answer.statusCode,
        date: typeof date === 'string' ? date : null,
        text: await answer.body.text(),
      };
    },
    readText: (path) => attempt(() => readFileSync(path, 'utf8')),
    list: (folder) => attempt(() => readdirSync(folder).sort()) ?? [],
    sizeOf: (path) => attempt(() => statSync(path).size) ?? 0,
    space: (folder) =>
      attempt(() => {
        let at = folder;
        while (!existsSync(at) && at !== dirname(at)) at = dirname(at);
        const { bavail, blocks, bsize } = statfsSync(at);
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
      }),
    version(program) {
      const { error, stdout } = spawnSync(program, ['--version'], {
        encoding: 'utf8',
        timeout: ANSWER_WAIT_MS,
      });
      return error === undefined ? stdout : undefined;
    },
    now: () => Date.now(),
  };
}

async function statusOf(daemon: DaemonClient): Promise<DaemonStatus | undefined> {
  try {
    return await daemon.status(AbortSignal.timeout(ANSWER_WAIT_MS));
  } catch (error) {
    if (hasCode(error, 'DAEMON_UNREACHABLE')) return undefined;
    throw error;
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
