import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { describeError } from '../../lib/core/errors.ts';
import { SCRIPTS, type ScriptName } from './redis-scripts.ts';

/** A member that asks for a lease waits half a second in all. */
const COMMAND_TIMEOUT_MS = 300;
const CONNECT_TIMEOUT_MS = 2_000;
const MAX_BACKOFF_MS = 2_000;

export type RedisArgument = string | number;

/** The commands that the store uses; every one fails within {@link COMMAND_TIMEOUT_MS} when Redis does not answer. */
export interface RedisConnection {
  /** Whether there is a connection that takes commands. */
  readonly ready: boolean;
  /** This machine's address in the connection; undefined when there is none, or it is a Unix socket. */
  readonly localAddress: string | undefined;
  /** Runs one of our scripts with our prefix before its arguments. */
  run(script: ScriptName, args: readonly RedisArgument[]): Promise<unknown>;
  /** Sends all, and waits for all. @throws the first failure */
  send(commands: readonly (readonly [string, ...RedisArgument[]])[]): Promise<void>;
  close(): Promise<void>;
}

export interface RedisConnectionEvents {
  ready(): void;
  gone(problem: string): void;
}

type Scripted = Redis & Record<ScriptName, (...args: RedisArgument[]) => Promise<unknown>>;

/** `unix:///run/redis.sock?db=1&password=…`, as other clients of Redis write it. */
function socketOptions(url: string): {
  readonly path: string;
  readonly db: number;
  readonly password?: string;
} {
  const { pathname, searchParams } = new URL(url);
  const password = searchParams.get('password');
  return {
    path: decodeURIComponent(pathname),
    db: Number(searchParams.get('db') ?? 0),
    ...(password === null ? {} : { password }),
  };
}

/** @param url `redis://`, `rediss://` or `unix:///path`; dialled again and again until closed */
export async function connectRedis(
  url: string,
  prefix: string,
  events: RedisConnectionEvents,
): Promise<RedisConnection> {
  // Loaded by trackers that share, and by nobody else.
  const { Redis } = (await import('ioredis')).default;
  const options = {
    lazyConnect: true,
    // What cannot be sent now is not worth sending later: the tracker goes on from memory at once.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (attempt: number) => Math.min(MAX_BACKOFF_MS, 100 * attempt),
  };
  const redis = (
    url.startsWith('unix:') ? new Redis({ ...options, ...socketOptions(url) }) : new Redis(url, options)
  ) as Scripted;
  for (const [name, lua] of Object.entries(SCRIPTS)) redis.defineCommand(name, { lua, numberOfKeys: 0 });
  let problem = 'no connection';
  redis.on('ready', () => events.ready());
  redis.on('error', (error: unknown) => {
    problem = describeError(error);
  });
  redis.on('close', () => events.gone(problem));
  redis.connect().catch((error: unknown) => {
    problem = describeError(error);
  });
  return {
    get ready() {
      return redis.status === 'ready';
    },
    get localAddress() {
      return (redis.stream as Partial<Socket> | undefined)?.localAddress;
    },
    run: (script, args) => redis[script](prefix, ...args),
    async send(commands) {
      const results = await redis.pipeline(commands.map((command) => [...command])).exec();
      for (const [error] of results ?? []) if (error !== null) throw error;
    },
    close: async () => redis.disconnect(),
  };
}
