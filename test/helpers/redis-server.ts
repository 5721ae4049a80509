import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

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

/** Debian's Redis on a Unix socket in a temporary folder; it keeps nothing on disk. */
export async function startRedis(options: { readonly password?: string } = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-redis-'));
  const socket = join(folder, 'redis.sock');
  const { password } = options;
  const secret = password === undefined ? [] : ['--requirepass', password];
  let kill = async (): Promise<void> => {};
  let signal = (_: NodeJS.Signals): void => {};
  const start = async (): Promise<void> => {
    const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder];
    const child = spawn('redis-server', [...args, ...secret], { stdio: ['ignore', 'pipe', 'ignore'] });
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
  return {
    url: `unix://${socket}${password === undefined ? '' : `?password=${password}`}`,
    start,
    kill: () => kill(),
    freeze: (frozen) => signal(frozen ? 'SIGSTOP' : 'SIGCONT'),
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
