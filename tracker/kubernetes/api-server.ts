import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { DamselflyError } from '../../lib/core/errors.ts';

/** One list of objects, or one event of a watch; etcd takes objects of 1.5 MiB. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 4 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 30_000;
/** Of a list. A watch says nothing for as long as nothing happens. */
const MAX_MESSAGE_CHARS = 300;

/** How to reach the API server, and as whom. */
export interface KubernetesAccess {
  readonly url: string;
  /** Folder of a service account: `token`, which Kubernetes renews, and `ca.crt`. */
  readonly account: string;
}

/** An answer that is not the one that was asked for. */
export class KubernetesRefusal extends Error {
  /** HTTP status, or the code of a Status object. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(`the API server answered ${status}: ${message.slice(0, MAX_MESSAGE_CHARS)}`);
    this.status = status;
  }
}

/** The connection of a watch broke off: what it told until then counts, and another goes on from there. */
export class WatchCut extends Error {}

/** The API server as one service account sees it; closed after use, so that renewed certificates count. */
export interface KubernetesClient {
  /** A JSON document. @throws KubernetesRefusal, what the network throws */
  read(path: string, signal: AbortSignal): Promise<unknown>;
  /** JSON documents, one after the other, until the server ends the answer. @throws as {@link read}; WatchCut */
  stream(path: string, signal: AbortSignal): AsyncGenerator<unknown>;
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID when the account's files cannot be read */
export async function connectKubernetes({ account, url }: KubernetesAccess): Promise<KubernetesClient> {
  const secure = url.startsWith('https:');
  const ca = secure ? await readAccount(account, 'ca.crt') : undefined;
  const agent = new Agent({
    connect: ca === undefined ? {} : { ca },
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: 0,
  });
  // What is behind a proxy such as Rancher's has a path of its own.
  const base = url.replace(/\/+$/, '');
  const ask = async (path: string, signal: AbortSignal) => {
    // Read each time: it is renewed within the hour.
    const token = (await readAccount(account, 'token')).trim();
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
    const answer = await request(base + path, { dispatcher: agent, headers, signal });
    if (answer.statusCode === 200) return answer.body;
    const text = await textOf(answer.body, MAX_LINE_BYTES);
    throw new KubernetesRefusal(answer.statusCode, messageOf(text));
  };
  return {
    read: async (path, signal) =>
      JSON.parse(await textOf(await ask(path, signal), MAX_LIST_BYTES)) as unknown,
    async *stream(path, signal) {
      let left: Buffer[] = [];
      let leftBytes = 0;
      for await (const chunk of chunksOf(await ask(path, signal))) {
        let from = 0;
        for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
          const line = Buffer.concat([...left, chunk.subarray(from, end)]).toString();
          [left, leftBytes, from] = [[], 0, end + 1];
          if (line.trim() !== '') yield JSON.parse(line) as unknown;
        }
        left.push(chunk.subarray(from));
        leftBytes += chunk.length - from;
        if (leftBytes > MAX_LINE_BYTES) throw new Error('an event is longer than 4 MiB');
      }
    },
    close: () => agent.destroy(),
  };
}

/** @throws WatchCut */
async function* chunksOf(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body) yield chunk;
  } catch (cause) {
    throw new WatchCut('the connection broke off', { cause });
  }
}

async function readAccount(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${path} cannot be read: the pod needs its service account (--kubernetes-account)`;
    throw new DamselflyError('CONFIG_INVALID', message, {}, { cause });
  }
}

async function textOf(body: AsyncIterable<Buffer>, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > most) throw new Error(`an answer of more than ${most} bytes`);
  }
  return Buffer.concat(chunks).toString();
}

/** A Status object says why; whatever else it is, its beginning. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not a Status.
  }
  return text;
}
