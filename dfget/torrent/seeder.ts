import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { abortedError, DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import type { FromSeeder, SeededFile, SeedOptions, ToSeeder } from './seed-messages.ts';
import type { SharedContent } from './shared-content.ts';

/** A file with where its bytes are. */
export interface SeedJob extends SeededFile {
  readonly content: SharedContent;
}

export interface SeederDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly credentials?: Credentials | undefined;
  /** Bytes went to clients. */
  readonly sent: (infoHash: string, bytes: number) => void;
  /** The tracker knows that we have it. */
  readonly announced: (infoHash: string) => void;
  /** The tracker refuses it, or cannot be reached. */
  readonly refused: (infoHash: string, why: string) => void;
}

/** From the first file to the port that serves it: webtorrent has to be loaded. */
const START_MS = 20_000;
/** For "we stop" to reach the trackers. */
const CLOSE_MS = 1_500;
const FIRST_RESTART_MS = 1_000;
const MAX_RESTART_MS = 60_000;
const MAX_HEAP_MIB = 256;

/**
 * Serves files to BitTorrent clients, in a thread of its own, which is there while there is something to serve. When it
 * dies, it is started anew.
 */
export class Seeder {
  readonly #deps: SeederDeps;
  readonly #options: Pick<SeedOptions, 'listen' | 'uploadRate'>;
  readonly #jobs = new Map<string, SeedJob>();
  readonly #forgetRenewals: () => void;
  #worker: Worker | undefined;
  /** The port, or why there is none. */
  #started: Promise<number> | undefined;
  #cancelRestart = (): void => {};
  #restartMs = FIRST_RESTART_MS;
  #seeding = new Map<string, () => void>();
  #closed: (() => void) | undefined;
  #closing = false;

  constructor(deps: SeederDeps, options: Pick<SeedOptions, 'listen' | 'uploadRate'>) {
    this.#deps = deps;
    this.#options = options;
    this.#forgetRenewals =
      deps.credentials?.onRenewed(() => this.#tell({ type: 'trust', authority: this.#authority ?? '' })) ??
      (() => {});
  }

  /**
   * Serves a file from now on.
   * @returns the port
   * @throws CONFIG_INVALID when the port cannot be listened on; ABORTED
   */
  async seed(job: SeedJob, signal: AbortSignal): Promise<number> {
    const seeding = new Promise<void>((resolve) => this.#seeding.set(job.infoHash, resolve));
    this.#jobs.set(job.infoHash, job);
    try {
      const port = await untilAborted(this.#start(), signal);
      this.#tell(seedMessage(job));
      await untilAborted(seeding, signal);
      return port;
    } catch (error) {
      await this.stop(job.infoHash);
      throw error;
    } finally {
      this.#seeding.delete(job.infoHash);
    }
  }

  /** Serves a file no more. */
  async stop(infoHash: string): Promise<void> {
    const job = this.#jobs.get(infoHash);
    if (job === undefined) return;
    this.#jobs.delete(infoHash);
    this.#tell({ type: 'stop', infoHash });
    await job.content.close();
    if (this.#jobs.size === 0) await this.#end();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#forgetRenewals();
    this.#cancelRestart();
    await this.#end();
    await Promise.all(Array.from(this.#jobs.values(), ({ content }) => content.close()));
    this.#jobs.clear();
  }

  get #authority(): string | undefined {
    return this.#deps.credentials?.keys.ca.toString();
  }

  #tell(message: ToSeeder, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  #start(): Promise<number> {
    this.#started ??= this.#startWorker().catch((error: unknown) => {
      this.#started = undefined;
      throw error;
    });
    return this.#started;
  }

  async #startWorker(): Promise<number> {
    this.#cancelRestart();
    const { clock, log } = this.#deps;
    // A checkout runs its sources, an installed package its compiled files.
    const file = new URL(`seed-worker${extname(import.meta.filename)}`, import.meta.url);
    const worker = new Worker(file, {
      name: 'bittorrent',
      workerData: { ...this.#options, authority: this.#authority } satisfies SeedOptions,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    worker.unref();
    this.#worker = worker;
    const started = Promise.withResolvers<number>();
    const cancel = clock.after(START_MS, () => started.reject(new Error('it does not start')));
    worker.on('message', (message: FromSeeder) => {
      if (message.type === 'listening') started.resolve(message.port);
      else if (message.type === 'failed') {
        started.reject(new Error(message.message));
        void worker.terminate();
      } else this.#hear(message);
    });
    worker.on('error', (error) => {
      started.reject(error);
      log.error({ error: describeError(error) }, 'the thread for BitTorrent clients died');
    });
    worker.once('exit', () => {
      started.reject(new Error('it ended'));
      this.#ended(worker);
    });
    try {
      const port = await started.promise;
      this.#restartMs = FIRST_RESTART_MS;
      return port;
    } catch (error) {
      this.#worker = undefined;
      await worker.terminate();
      const { host, port } = this.#options.listen;
      const message = `--bt-listen ${host}:${port}: BitTorrent clients cannot be served: ${describeError(error)}`;
      throw new DamselflyError('CONFIG_INVALID', message, {}, { cause: error });
    } finally {
      cancel();
    }
  }

  #hear(message: FromSeeder): void {
    const { announced, log, refused, sent } = this.#deps;
    switch (message.type) {
      case 'read':
        return void this.#read(message);
      case 'seeding':
        return this.#seeding.get(message.infoHash)?.();
      case 'sent':
        return sent(message.infoHash, message.bytes);
      case 'announced':
        return announced(message.infoHash);
      case 'warning':
        log.debug({ infoHash: message.infoHash, problem: message.message }, 'a torrent is in trouble');
        return refused(message.infoHash, message.message);
      case 'closed':
        return this.#closed?.();
      case 'listening':
      case 'failed':
    }
  }

  async #read({ id, infoHash, length, offset }: Extract<FromSeeder, { type: 'read' }>): Promise<void> {
    const worker = this.#worker;
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    try {
      const job = this.#jobs.get(infoHash);
      if (job !== undefined && offset >= 0 && length <= job.pieceBytes && offset + length <= job.size) {
        const read = new Uint8Array(length);
        await job.content.read(offset, read);
        bytes = read;
      }
    } catch (error) {
      this.#deps.log.warn({ infoHash, error: describeError(error) }, 'a shared file cannot be read');
    }
    const answer: ToSeeder = { type: 'bytes', id, ...(bytes === undefined ? {} : { bytes }) };
    worker?.postMessage(answer, bytes === undefined ? [] : [bytes.buffer]);
  }

  /** The thread has gone, by itself or by us. */
  #ended(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#started = undefined;
    if (this.#closing || this.#jobs.size === 0) return;
    this.#restartLater();
  }

  #restartLater(): void {
    const { clock, log } = this.#deps;
    this.#cancelRestart = clock.after(this.#restartMs, () => {
      this.#start().then(
        () => {
          for (const job of this.#jobs.values()) this.#tell(seedMessage(job));
        },
        (error: unknown) => {
          log.warn({ error: describeError(error) }, 'BitTorrent clients are not served yet');
          if (!this.#closing && this.#jobs.size > 0) this.#restartLater();
        },
      );
    });
    this.#restartMs = Math.min(2 * this.#restartMs, MAX_RESTART_MS);
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.resolve;
    const cancel = this.#deps.clock.after(CLOSE_MS, closed.resolve);
    worker.once('exit', () => closed.resolve());
    this.#tell({ type: 'close' });
    await closed.promise;
    cancel();
    this.#worker = undefined;
    this.#started = undefined;
    await worker.terminate();
  }
}

function seedMessage({ infoHash, pieceBytes, size, torrent }: SeedJob): ToSeeder {
  return { type: 'seed', infoHash, pieceBytes, size, torrent };
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
