import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';
import { MAX_SOCKET_PATH_BYTES } from '../local-protocol.ts';

/**
 * Listens on a Unix socket that only its owner may open.
 * @param replace the daemon that listens there leaves it to us
 * @returns removes the socket, unless another daemon has the path by then
 * @throws CONFIG_INVALID when it cannot listen there
 */
export async function listenLocally(
  server: Server,
  path: string,
  replace: boolean,
): Promise<() => Promise<void>> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw refused(path, `longer than ${MAX_SOCKET_PATH_BYTES} bytes; give a shorter path`);
  }
  try {
    const folder = dirname(path);
    await mkdir(folder, { recursive: true });
    if (!replace && (await someoneListens(path))) {
      throw refused(
        path,
        'another daemon listens there; give this one its own, or let it take over with --upgrade',
      );
    }
    // Under another name first: who opens the path finds the daemon before or this one, never nothing.
    const made = join(folder, `.${randomBytes(3).toString('hex')}`);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ path: made }, resolve);
    });
    await chmod(made, 0o600);
    const { ino } = await stat(made);
    await rename(made, path);
    return async () => {
      const found = await stat(path).catch(() => undefined);
      if (found?.ino === ino) await rm(path, { force: true });
    };
  } catch (error) {
    throw error instanceof DamselflyError ? error : refused(path, (error as Error).message);
  }
}

function refused(path: string, why: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `--socket ${path}: ${why}`);
}

/** A socket file may be left from a daemon that was killed: only one that answers is in use. */
function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
