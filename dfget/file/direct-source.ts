import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { discard, followRedirects, type HttpExchange } from '../../lib/origin/exchange.ts';
import { type FileQuestion, fileFacts, fileKey, fileOrigin, fileRequest } from '../../lib/origin/file.ts';
import { createUndiciExchange } from '../../lib/origin/http/undici-exchange.ts';
import {
  attemptsWorth,
  definitelyBroken,
  isWorthRetrying,
  type OriginResponse,
} from '../../lib/origin/origin-client.ts';
import { blobBody } from '../../lib/origin/read-blob.ts';
import { mayBeSentTo } from '../../lib/origin/trust.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import type { FileSource } from './file-source.ts';

const TIMEOUTS = { connectTimeoutMs: 10_000, headersTimeoutMs: 30_000, bodyTimeoutMs: 30_000 };
const FIRST_WAIT_MS = 250;

export interface DirectConnections {
  readonly exchange: HttpExchange;
  close(): Promise<void>;
}

/** Connections of this command itself, to whatever host its user names; none is led to link-local addresses. */
export function openDirectConnections(url: URL): DirectConnections {
  const connections = createUndiciExchange(
    {},
    { ...TIMEOUTS, ownHosts: [url.host], mayBeOwn: true, redirectsMayBeOwn: true },
  );
  return {
    exchange: followRedirects(connections.exchange, (to) => !mayBeSentTo(to, true)),
    close: () => connections.close(),
  };
}

/**
 * A file at its source, past daemon and swarm. A connection that breaks is made again, and goes on where it was, for as long
 * as the source has the same file.
 * @throws UPSTREAM_*, CONFIG_INVALID, ABORTED
 */
export async function directSource(
  deps: { readonly clock: Clock; readonly exchange: HttpExchange },
  url: URL,
  question: FileQuestion,
  signal: AbortSignal,
): Promise<FileSource> {
  const { clock, exchange } = deps;
  const place = fileOrigin(url, url.host, question);
  const ask = (range: string | undefined, within: AbortSignal): Promise<OriginResponse> =>
    get(exchange, url, place, range, within);
  const first = await ask('bytes=0-0', signal);
  await discard(first);
  const facts = fileFacts(first);
  const empty = first.status === 416 && facts.size === 0;
  if (!empty) requireOk(first, url);
  const { size } = facts;
  const key = fileKey(place, facts);

  return {
    key,
    size,
    async *open(start, within) {
      let at = start;
      let failures = 0;
      for (;;) {
        try {
          for await (const chunk of bytesFrom(at, within)) {
            at += chunk.length;
            failures = 0;
            yield chunk;
          }
          return;
        } catch (error) {
          const again = key !== undefined && isWorthRetrying(error) && ++failures < attemptsWorth(error);
          if (!again) throw error;
          await delay(clock, FIRST_WAIT_MS * 2 ** failures, within);
        }
      }
    },
  };

  async function* bytesFrom(start: number, within: AbortSignal): AsyncGenerator<Uint8Array> {
    const response = await ask(start === 0 ? undefined : `bytes=${start}-`, within);
    try {
      requireOk(response, url);
      if (fileKey(place, fileFacts(response)) !== key) {
        throw definitelyBroken('the file has changed at its source', { host: url.host });
      }
      if (size === undefined) {
        yield* response.body;
        return;
      }
      const digest = (key ?? '') as Digest;
      yield* blobBody(response, { origin: place, digest, start, size }).bytes;
    } finally {
      await discard(response);
    }
  }
}

async function get(
  exchange: HttpExchange,
  url: URL,
  place: BlobOrigin,
  range: string | undefined,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const { headers, path, secret } = fileRequest(place);
  const asked = { accept: '*/*', ...headers, ...(range === undefined ? {} : { range }) };
  const at = new URL(`${url.origin}${path}`);
  return await exchange({ kind: 'blob', method: 'GET', url: at, headers: asked, secret }, signal);
}

function requireOk({ status }: OriginResponse, url: URL): void {
  if (status === 200 || status === 206) return;
  const facts = { status, host: url.host };
  throw new DamselflyError('UPSTREAM_REFUSED', `the source answered ${status} for ${url.pathname}`, facts);
}
