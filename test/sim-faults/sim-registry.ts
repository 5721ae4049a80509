import { abortedError, DamselflyError } from '../../lib/core/errors.ts';
import type { HttpExchange, HttpRequest } from '../../lib/origin/exchange.ts';
import type { OriginResponse } from '../../lib/origin/origin-client.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import type { Rng } from '../../lib/runtime/rng.ts';
import type { SimProcess } from './sim-process.ts';

/** As the real HTTP client's: see lib/origin/http. */
const CONNECT_TIMEOUT_MS = 3000;
const ANSWER_TIMEOUT_MS = 10_000;
const CHUNK_BYTES = 64 * 1024;
/** How often somebody who waits looks whether there is a way again. */
const LOOK_MS = 50;

/** What a registry does wrong at the moment; nothing of it is true of a good one. */
export interface RegistryMood {
  /** Nobody answers. */
  readonly down: boolean;
  /** Each host's every so-manieth request for bytes is answered by 500; Infinity: none. */
  readonly errorEvery: number;
  /** 429 with so many seconds of Retry-After. */
  readonly busySeconds: number | undefined;
  /** Every body breaks off after so many bytes. */
  readonly cutAfterBytes: number;
  /** Every body stops for so long after its first chunk. */
  readonly stallMs: number;
  /** Of one body. */
  readonly bytesPerSecond: number;
  /** One bit in so many bytes is wrong; 0: none. */
  readonly lieEveryBytes: number;
  /** Ranges are answered with all of the blob. */
  readonly noRanges: boolean;
  /** Who only asks whether a blob may be read is told no. */
  readonly refusesHeads: boolean;
}

export interface SimRegistryOptions {
  readonly latencyMs: number;
  readonly bytesPerSecond: number;
  /** Bodies come from another host, by a redirect. */
  readonly redirects: boolean;
}

/** A registry over HTTP, whose moods are the faults. Counts what leaves it. */
export class SimRegistry {
  /** Bytes of each blob that were sent to anyone. */
  readonly sentBytes = new Map<string, number>();
  /** Blobs of which a wrong byte was sent. */
  readonly lied = new Set<string>();
  readonly #good: RegistryMood;
  readonly #turns = new Set<Partial<RegistryMood>>();
  readonly #options: SimRegistryOptions;
  readonly #rng: Rng;
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #requests = new Map<string, number>();
  readonly #reachable: (host: string) => boolean;

  /** @param reachable whether the host has a way to the registry now */
  constructor(rng: Rng, options: SimRegistryOptions, reachable: (host: string) => boolean) {
    this.#rng = rng;
    this.#options = options;
    this.#reachable = reachable;
    this.#good = {
      ...{
        down: false,
        errorEvery: Number.POSITIVE_INFINITY,
        busySeconds: undefined,
        cutAfterBytes: Number.POSITIVE_INFINITY,
      },
      ...{ stallMs: 0, bytesPerSecond: options.bytesPerSecond, lieEveryBytes: 0, noRanges: false },
      refusesHeads: false,
    };
  }

  get mood(): RegistryMood {
    return Object.assign({ ...this.#good }, ...this.#turns) as RegistryMood;
  }

  /** From now on it does this wrong. @returns what ends that */
  turn(to: Partial<RegistryMood>): () => void {
    this.#turns.add(to);
    return () => this.#turns.delete(to);
  }

  add(digest: string, bytes: Uint8Array): void {
    this.#blobs.set(digest, bytes);
  }

  sizeOf(digest: string): number {
    return this.#blobs.get(digest)?.length ?? 0;
  }

  /** The way to this registry of a process on that host. */
  exchange(host: string, process: SimProcess): HttpExchange {
    return (request, signal) => process.ask(() => this.#answer(request, host, process, signal));
  }

  async #answer(
    request: HttpRequest,
    host: string,
    process: SimProcess,
    signal: AbortSignal,
  ): Promise<OriginResponse> {
    const { clock } = process;
    const { latencyMs } = this.#options;
    await pause(clock, latencyMs * (1 + this.#rng.float()), signal);
    const away = (): boolean => this.mood.down || !this.#reachable(host);
    await this.#passes(clock, away, CONNECT_TIMEOUT_MS, signal);
    const { busySeconds, errorEvery } = this.mood;
    if (busySeconds !== undefined) return plain(429, { 'retry-after': String(busySeconds) });
    const found = /^\/v2\/team\/app\/blobs\/(.+)$/.exec(request.url.pathname);
    const digest = found?.[1] ?? '';
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return plain(404);
    if (request.method === 'HEAD') {
      return this.mood.refusesHeads ? plain(403) : plain(200, { 'content-length': String(blob.length) });
    }
    if (this.#options.redirects && request.url.host === 'registry.test') {
      return plain(307, { location: `https://storage.test${request.url.pathname}?signature=1` });
    }
    const count = (this.#requests.get(host) ?? 0) + 1;
    this.#requests.set(host, count);
    if (count % errorEvery === 0) return plain(500);
    const asked = rangeOf(request, blob.length);
    const range = this.mood.noRanges ? undefined : asked;
    const { start, end } = range ?? { start: 0, end: blob.length };
    const body = this.#body(digest, blob.subarray(start, end), host, process, signal);
    const length = { 'content-length': String(end - start) };
    return range === undefined
      ? { status: 200, headers: length, body }
      : {
          status: 206,
          headers: { ...length, 'content-range': `bytes ${start}-${end - 1}/${blob.length}` },
          body,
        };
  }

  async *#body(
    digest: string,
    bytes: Uint8Array,
    host: string,
    process: SimProcess,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { clock } = process;
    const cut = this.mood.cutAfterBytes;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = Uint8Array.from(bytes.subarray(at, at + CHUNK_BYTES));
      if (at === CHUNK_BYTES && this.mood.stallMs > 0) await pause(clock, this.mood.stallMs, signal);
      await pause(clock, (chunk.length / this.mood.bytesPerSecond) * 1000, signal);
      await this.#passes(clock, () => !this.#reachable(host), ANSWER_TIMEOUT_MS, signal);
      if (this.mood.down || at >= cut) {
        throw new DamselflyError('UPSTREAM_BROKEN', 'the registry closed the connection', { digest });
      }
      this.#lie(digest, chunk);
      this.sentBytes.set(digest, (this.sentBytes.get(digest) ?? 0) + chunk.length);
      yield chunk;
    }
  }

  #lie(digest: string, chunk: Uint8Array): void {
    const { lieEveryBytes } = this.mood;
    if (lieEveryBytes === 0 || this.#rng.float() > chunk.length / lieEveryBytes) return;
    const at = this.#rng.int(chunk.length);
    chunk[at] = (chunk[at] ?? 0) ^ (1 << this.#rng.int(8));
    this.lied.add(digest);
  }

  /** Waits while there is no way, for so long at most. */
  async #passes(clock: Clock, away: () => boolean, limitMs: number, signal: AbortSignal): Promise<void> {
    for (let waitedMs = 0; away(); waitedMs += LOOK_MS) {
      if (waitedMs >= limitMs) {
        throw new DamselflyError('UPSTREAM_UNREACHABLE', 'the registry did not answer');
      }
      await pause(clock, LOOK_MS, signal);
    }
  }
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await delay(clock, ms, signal).catch(() => {
    throw abortedError(signal);
  });
}

function plain(status: number, headers: Record<string, string> = {}): OriginResponse {
  return { status, headers, body: nothing() };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function rangeOf({ headers }: HttpRequest, size: number): { start: number; end: number } | undefined {
  const { range } = headers;
  const match = typeof range === 'string' ? /^bytes=(\d+)-(\d*)$/.exec(range) : null;
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = match[2] === '' ? size : Math.min(size, Number(match[2]) + 1);
  return { start, end };
}
