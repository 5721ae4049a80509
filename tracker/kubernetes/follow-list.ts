import { z } from 'zod';
import { describeError } from '../../lib/core/errors.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import { withDeadline } from '../../lib/runtime/deadline.ts';
import type { Rng } from '../../lib/runtime/rng.ts';
import { type KubernetesClient, KubernetesRefusal, WatchCut } from './api-server.ts';

const PAGE_OBJECTS = 500;
/** Half a million objects; a server that goes on is broken. */
const MAX_PAGES = 1_000;
const LIST_DEADLINE_MS = 120_000;
/** The server ends a watch after this time; one that goes on for longer has lost its connection. */
const WATCH_SECONDS = 300;
const WATCH_DEADLINE_MS = (WATCH_SECONDS + 30) * 1000;
/** Between attempts: twice as long after each that failed. */
const FIRST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 60_000;
/** A list whose watches went on for so long was worth its price. */
const GOOD_WATCH_MS = 60_000;
/** A load balancer may cut a watch that says nothing for half a minute; what is over sooner is an error each time. */
const SHORT_WATCH_MS = 5_000;

const meta = z.object({ resourceVersion: z.string(), continue: z.string().optional() });
const list = z.object({ metadata: meta, items: z.array(z.unknown()).nullable() });
const event = z.object({ type: z.string(), object: z.unknown() });
const versioned = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const status = z.object({ code: z.number().optional(), message: z.string().optional() });

export interface ListSink<T> {
  /** What counts of an object, which is a hundred times as large; undefined: it does not count. */
  read(object: unknown): T | undefined;
  /** Everything that is there now. */
  listed(all: readonly T[]): void;
  changed(one: T): void;
  gone(one: T): void;
  /** Whether the list is followed, and why not. */
  state(problem: string | undefined): void;
}

export interface FollowDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly connect: () => Promise<KubernetesClient>;
}

/**
 * Follows a list of the API server for as long as the signal lets it: reads it whole, watches it from there, and reads
 * it again when the server no longer knows that version (410 Gone).
 * @param path such as `/apis/apps/v1/deployments`
 */
export async function followList<T>(
  { clock, connect, rng }: FollowDeps,
  path: string,
  sink: ListSink<T>,
  signal: AbortSignal,
): Promise<void> {
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    let client: KubernetesClient | undefined;
    let watchedFromMs = Number.POSITIVE_INFINITY;
    try {
      client = await connect();
      const version = await readAll(clock, client, path, sink, signal);
      sink.state(undefined);
      watchedFromMs = clock.now();
      await watch(clock, client, { path, version }, sink, signal);
    } catch (error) {
      if (signal.aborted) return;
      // Read anew, from where the server is by now.
      if (!(error instanceof KubernetesRefusal && error.status === 410)) sink.state(describeError(error));
    } finally {
      await client?.close();
    }
    if (clock.now() - watchedFromMs >= GOOD_WATCH_MS) retryMs = FIRST_RETRY_MS;
    // Trackers that lost the same server do not come back in the same moment.
    await delay(clock, retryMs * (0.5 + rng.float()), signal).catch(() => {});
    retryMs = Math.min(MOST_RETRY_MS, retryMs * 2);
  }
}

/** @returns the version of the whole list */
async function readAll<T>(
  clock: Clock,
  client: KubernetesClient,
  path: string,
  sink: ListSink<T>,
  signal: AbortSignal,
): Promise<string> {
  const all: T[] = [];
  let next = '';
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const query = new URLSearchParams({ limit: String(PAGE_OBJECTS) });
    if (next !== '') query.set('continue', next);
    const page = await withDeadline(clock, LIST_DEADLINE_MS, signal, async (either) =>
      list.parse(await client.read(`${path}?${query.toString()}`, either)),
    );
    for (const object of page.items ?? []) {
      const one = sink.read(object);
      if (one !== undefined) all.push(one);
    }
    next = page.metadata.continue ?? '';
    if (next !== '') continue;
    sink.listed(all);
    return page.metadata.resourceVersion;
  }
  throw new Error(`a list of more than ${MAX_PAGES} pages`);
}

/** Ends when the server says that something is wrong. A watch that ends, or whose connection is cut, goes on from there. */
async function watch<T>(
  clock: Clock,
  client: KubernetesClient,
  { path, version }: { readonly path: string; readonly version: string },
  sink: ListSink<T>,
  signal: AbortSignal,
): Promise<never> {
  let from = version;
  let pauseMs = FIRST_RETRY_MS;
  for (;;) {
    const query = new URLSearchParams({ watch: 'true', resourceVersion: from, allowWatchBookmarks: 'true' });
    query.set('timeoutSeconds', String(WATCH_SECONDS));
    const begunMs = clock.now();
    const watched = withDeadline(clock, WATCH_DEADLINE_MS, signal, async (either) => {
      for await (const line of client.stream(`${path}?${query.toString()}`, either)) {
        const { object, type } = event.parse(line);
        if (type === 'ERROR') {
          const { code = 500, message = 'the watch failed' } = status.parse(object);
          throw new KubernetesRefusal(code, message);
        }
        from = versioned.parse(object).metadata.resourceVersion;
        // A BOOKMARK tells the version alone.
        const one = sink.read(object);
        if (one === undefined) continue;
        if (type === 'ADDED' || type === 'MODIFIED') sink.changed(one);
        else if (type === 'DELETED') sink.gone(one);
      }
    });
    await watched.catch((error: unknown) => {
      if (signal.aborted || !(error instanceof WatchCut)) throw error;
    });
    const isShort = clock.now() - begunMs < SHORT_WATCH_MS;
    if (isShort) await delay(clock, pauseMs, signal);
    pauseMs = isShort ? Math.min(MOST_RETRY_MS, pauseMs * 2) : FIRST_RETRY_MS;
  }
}
