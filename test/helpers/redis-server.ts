import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PORT = 6379;

export interface RedisServer {
  /** For `--peer-store`. */
  readonly url: string;
  /** Kills it; what it held is gone. */
  kill(): Promise<void>;
  /** Starts an empty one in its place. */
  start(): Promise<void>;
  /** It takes connections and answers nothing, or goes on. */
  freeze(frozen: boolean): void;
  close(): Promise<void>;
}

export interface RedisOptions {
  readonly password?: string;
  /** Listens there on its usual port. @default a Unix socket in a temporary folder */
  readonly place?: { readonly namespace: string; readonly host: string };
}

/** Debian's Redis, which keeps nothing on disk. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-redis-'));
  const socket = join(folder, 'redis.sock');
  const { password, place } = options;
  const inside = place === undefined ? [] : ['ip', 'netns', 'exec', place.namespace];
  const listen =
    place === undefined
      ? ['--port', '0', '--unixsocket', socket]
      : ['--port', String(PORT), '--bind', place.host, '--protected-mode', 'no'];
  const secret = password === undefined ? [] : ['--requirepass', password];
  let kill = async (): Promise<void> => {};
  let signal = (_: NodeJS.Signals): void => {};
  const start = async (): Promise<void> => {
    const keep = ['--save', '', '--appendonly', 'no', '--dir', folder];
    const [command = '', ...args] = [...inside, 'redis-server', ...listen, ...keep, ...secret];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    signal = (name) => void child.kill(name);
    kill = async () => {
      child.kill('SIGKILL');
      await exited;
      rmSync(socket, { force: true });
    };
    for await (const line of createInterface(child.stdout)) {
      if (/ready to accept connections/i.test(line)) {
        child.stdout.resume();
        return;
      }
    }
    throw new Error('redis-server did not start');
  };
  await start();
  const words = password === undefined ? '' : `:${password}@`;
  return {
    url:
      place === undefined
        ? `unix://${socket}${password === undefined ? '' : `?password=${password}`}`
        : `redis://${words}${place.host}:${PORT}/0`,
    start,
    kill: () => kill(),
    freeze: (frozen) => signal(frozen ? 'SIGSTOP' : 'SIGCONT'),
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
