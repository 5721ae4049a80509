import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { parseRange } from '../../lib/core/range.ts';
import { send } from '../helpers/fault-origin.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** What of a blob the registry was asked to send, end exclusive. */
export interface BlobRead {
  readonly digest: string;
  readonly start: number;
  readonly end: number;
}

interface Stored {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Where images are put for a case: the scripted registry and the real one. */
export interface TestRegistry {
  readonly kind: 'scripted' | 'docker-registry';
  readonly url: string;
  blob(repository: string, bytes: Uint8Array): Promise<Digest>;
  /** @param tag besides the digest */
  manifest(repository: string, type: string, bytes: Uint8Array, tag?: string): Promise<Digest>;
  close(): Promise<void>;
}

/** A registry in a few lines that keeps to distribution's habits, counts, and does whatever else a case wants of it. */
export interface ScriptedRegistry extends TestRegistry {
  readonly host: string;
  readonly seen: SeenRequest[];
  readonly reads: BlobRead[];
  /** Who may read a repository: Authorization values. Everybody may read those not listed. */
  readonly readers: Map<string, Set<string>>;
  /** Answers instead, if it returns true. */
  script: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** The challenge of a 401. */
  challenge: (repository: string) => string;
}

const ADDRESS = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/?]+)(?:\?.*)?$/;

export async function startScriptedRegistry(host = '127.0.0.1'): Promise<ScriptedRegistry> {
  const repositories = new Map<string, Map<string, Stored>>();
  const put = (repository: string, name: string, stored: Stored): void => {
    const known = repositories.get(repository) ?? new Map<string, Stored>();
    repositories.set(repository, known.set(name, stored));
  };

  const server = createServer((request, response) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    request.resume();
    if (registry.script?.(request, response) === true) return;
    answer(request, response);
  });

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (/^\/v2\/?$/.test(request.url ?? '')) {
      send(response, 200, '{}', { 'docker-distribution-api-version': 'registry/2.0' });
      return;
    }
    const [, repository = '', kind = '', name = ''] = ADDRESS.exec(request.url ?? '') ?? [];
    const allowed = registry.readers.get(repository);
    const { authorization } = request.headers;
    if (allowed !== undefined && !allowed.has(authorization ?? '')) {
      if (authorization === undefined || authorization.includes('expired')) {
        const headers = { 'www-authenticate': registry.challenge(repository) };
        send(response, 401, errorBody('UNAUTHORIZED'), headers);
      } else send(response, 403, errorBody('DENIED'));
      return;
    }
    const stored = repositories.get(repository)?.get(`${kind}/${name}`);
    if (stored === undefined) {
      send(response, 404, errorBody(kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN'));
    } else if (kind === 'blobs') sendBlob(request, response, name, stored.bytes);
    else {
      const etag = `"${digestOf(stored.bytes)}"`;
      const headers = { 'docker-content-digest': digestOf(stored.bytes), etag, 'content-type': stored.type };
      if (request.headers['if-none-match'] === etag) response.writeHead(304, headers).end();
      else send(response, 200, stored.bytes, headers);
    }
  };

  const sendBlob = (
    request: IncomingMessage,
    response: ServerResponse,
    digest: string,
    bytes: Buffer,
  ): void => {
    const wanted = parseRange(request.headers.range, bytes.length);
    const { start, end } = wanted.kind === 'part' ? wanted.range : { start: 0, end: bytes.length };
    if (wanted.kind === 'unsatisfiable') {
      send(response, 416, '', { 'content-range': `bytes */${bytes.length}` });
      return;
    }
    if (request.method === 'GET') reads.push({ digest, start, end });
    const headers = { 'docker-content-digest': digest, 'content-type': 'application/octet-stream' };
    if (wanted.kind === 'whole') send(response, 200, bytes, headers);
    else {
      const range = { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` };
      send(response, 206, bytes.subarray(start, end), { ...headers, ...range });
    }
  };

  const seen: SeenRequest[] = [];
  const reads: BlobRead[] = [];
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const at = host.includes(':') ? `[${host}]` : host;
  const shown = `${at}:${(server.address() as AddressInfo).port}`;
  const registry: ScriptedRegistry = {
    ...{ kind: 'scripted', host: shown, url: `http://${shown}`, seen, reads, readers: new Map() },
    script: undefined,
    challenge: (repository) =>
      `Bearer realm="http://${shown}/token",service="scripted",scope="repository:${repository}:pull"`,
    async blob(repository, bytes) {
      const digest = digestOf(bytes);
      put(repository, `blobs/${digest}`, { type: '', bytes: Buffer.from(bytes) });
      return digest;
    },
    async manifest(repository, type, bytes, tag) {
      const digest = digestOf(bytes);
      for (const name of [digest, ...(tag === undefined ? [] : [tag])]) {
        put(repository, `manifests/${name}`, { type, bytes: Buffer.from(bytes) });
      }
      return digest;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return registry;
}

function errorBody(code: string): string {
  return JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] });
}
