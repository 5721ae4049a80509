import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { makeCertificate } from '../helpers/certificate.ts';

/** What tests write of a workload. */
export interface Wanted {
  readonly kind?: 'deployments' | 'daemonsets' | 'statefulsets';
  readonly namespace?: string;
  readonly images: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Stored {
  readonly kind: string;
  readonly namespace: string;
  readonly object: { readonly metadata: { readonly name: string; readonly resourceVersion: string } };
}

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly of: Stored;
}

const PATH = /^\/apis\/apps\/v1\/(?:namespaces\/([a-z0-9-]+)\/)?(deployments|daemonsets|statefulsets)$/;
const KINDS = { deployments: 'Deployment', daemonsets: 'DaemonSet', statefulsets: 'StatefulSet' } as const;

/**
 * The part of a Kubernetes API server that lists and watches workloads: TLS, bearer tokens, pages with `continue`,
 * `resourceVersion`, bookmarks, and 410 Gone for versions that it has forgotten, as an answer and within a watch.
 * kubectl takes it for a real one (watch.test.ts).
 */
export class ApiServer {
  /** Lists and watches that were asked for, as paths with their queries. */
  readonly asked: string[] = [];
  token = 'first-token';
  forbidden = false;
  /** It is there under this path alone. */
  prefix = '';
  /** Objects in one page at most. */
  page = 500;
  url = '';
  readonly #folder = mkdtempSync(join(tmpdir(), 'damselfly-kubernetes-'));
  readonly #objects = new Map<string, Stored>();
  #changes: Change[] = [];
  #version = 1000;
  /** Versions up to this one are forgotten. */
  #compacted = 0;
  readonly #watches = new Set<{
    readonly response: ServerResponse;
    readonly fits: (of: Stored) => boolean;
  }>();

  static async start(t: Test): Promise<ApiServer> {
    const api = new ApiServer();
    const { cert, key } = makeCertificate(api.#folder, 'api');
    const server = createServer({ cert, key }, (request, response) => api.#answer(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    api.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    writeFileSync(join(api.account, 'ca.crt'), cert);
    api.writeToken(api.token);
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
      rmSync(api.#folder, { recursive: true, force: true });
    });
    return api;
  }

  /** Folder of the service account. */
  get account(): string {
    return this.#folder;
  }

  get watches(): number {
    return this.#watches.size;
  }

  writeToken(token: string): void {
    writeFileSync(join(this.account, 'token'), `${token}\n`);
  }

  put(name: string, { annotations, images, kind = 'deployments', namespace = 'shop' }: Wanted): void {
    const key = `${kind}/${namespace}/${name}`;
    const before = this.#objects.get(key);
    const version = ++this.#version;
    const labels = { app: name };
    const object = {
      apiVersion: 'apps/v1',
      kind: KINDS[kind],
      metadata: {
        ...{ name, namespace, uid: `uid-${key}`, resourceVersion: String(version) },
        creationTimestamp: '2026-01-01T00:00:00Z',
        ...(annotations === undefined ? {} : { annotations }),
      },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            containers: images.slice(0, 1).map((image) => ({ name: 'main', image })),
            initContainers: images.slice(1).map((image, at) => ({ name: `init-${at}`, image })),
          },
        },
      },
    };
    const of = { kind, namespace, object };
    this.#objects.set(key, of);
    this.#tell({ version, type: before === undefined ? 'ADDED' : 'MODIFIED', of });
  }

  remove(name: string, { kind = 'deployments', namespace = 'shop' }: Partial<Wanted> = {}): void {
    const key = `${kind}/${namespace}/${name}`;
    const of = this.#objects.get(key);
    if (of === undefined) throw new Error(`no ${key}`);
    this.#objects.delete(key);
    const version = ++this.#version;
    const object = { ...of.object, metadata: { ...of.object.metadata, resourceVersion: String(version) } };
    this.#tell({ version, type: 'DELETED', of: { ...of, object } });
  }

  /** Tells every watch where it is, as the real one does about once a minute. */
  bookmark(): void {
    const version = String(++this.#version);
    for (const { response } of this.#watches) {
      const object = { kind: 'Deployment', apiVersion: 'apps/v1', metadata: { resourceVersion: version } };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Forgets all changes until now, as etcd's compaction does. */
  compact(): void {
    this.#compacted = this.#version;
    this.#changes = [];
  }

  /** Ends all watches, in good order or with what the real one says in a watch that is too old. */
  endWatches(how: 'end' | 'gone' | 'cut'): void {
    for (const { response } of this.#watches) {
      if (how === 'gone') response.write(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`);
      if (how === 'cut') response.destroy();
      else response.end();
    }
    this.#watches.clear();
  }

  #tell(change: Change): void {
    this.#changes.push(change);
    for (const { fits, response } of this.#watches) {
      if (fits(change.of)) response.write(eventOf(change));
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { prefix } = this;
    if (request.url?.startsWith(prefix) !== true) {
      return refuse(response, 404, 'NotFound', 'not under this path');
    }
    const url = new URL(request.url.slice(prefix.length), this.url);
    const [, namespace, kind] = PATH.exec(url.pathname) ?? [];
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      return refuse(response, 401, 'Unauthorized', 'Unauthorized');
    }
    const found = DISCOVERY[url.pathname];
    if (found !== undefined) return send(response, 200, found);
    if (kind === undefined) return refuse(response, 404, 'NotFound', 'the server could not find it');
    this.asked.push(url.pathname + url.search);
    if (this.forbidden) return refuse(response, 403, 'Forbidden', `${kind}.apps is forbidden`);
    const fits = (of: Stored): boolean =>
      of.kind === kind && (namespace === undefined || of.namespace === namespace);
    if (['true', '1'].includes(url.searchParams.get('watch') ?? '')) this.#watch(url, fits, response);
    else this.#list(url, fits, kind as keyof typeof KINDS, response);
  }

  #list(url: URL, fits: (of: Stored) => boolean, kind: keyof typeof KINDS, response: ServerResponse): void {
    const limit = Math.min(Number(url.searchParams.get('limit') ?? this.page), this.page);
    const [version = String(this.#version), from = '0'] = (url.searchParams.get('continue') ?? '').split(':');
    const at = version === '' ? this.#version : Number(version);
    if (at < this.#compacted) return refuse(response, 410, 'Expired', 'the continue token is too old');
    const all = [...this.#objects.values()].filter(fits);
    const next = Number(from) + limit;
    const more = next < all.length ? { continue: `${at}:${next}` } : {};
    const items = all.slice(Number(from), next).map(({ object }) => object);
    const metadata = { resourceVersion: String(at), ...more };
    send(response, 200, { kind: `${KINDS[kind]}List`, apiVersion: 'apps/v1', metadata, items });
  }

  #watch(url: URL, fits: (of: Stored) => boolean, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion') ?? 0);
    if (from < this.#compacted) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const change of this.#changes) {
      if (change.version > from && fits(change.of)) response.write(eventOf(change));
    }
    const watch = { response, fits };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }
}

/** What clients ask first. */
const DISCOVERY: Readonly<Record<string, object>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/api/v1': { kind: 'APIResourceList', groupVersion: 'v1', resources: [] },
  '/apis': {
    ...{ kind: 'APIGroupList', apiVersion: 'v1' },
    groups: [
      {
        name: 'apps',
        versions: [{ groupVersion: 'apps/v1', version: 'v1' }],
        preferredVersion: { groupVersion: 'apps/v1', version: 'v1' },
      },
    ],
  },
  '/apis/apps/v1': {
    ...{ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'apps/v1' },
    resources: Object.entries(KINDS).map(([name, kind]) => ({
      ...{ name, kind, singularName: kind.toLowerCase(), namespaced: true, verbs: ['list', 'watch'] },
    })),
  },
};

const GONE = {
  ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'Expired', code: 410 },
  message: 'too old resource version',
};

function eventOf({ of, type }: Change): string {
  return `${JSON.stringify({ type, object: of.object })}\n`;
}

function refuse(response: ServerResponse, code: number, reason: string, message: string): void {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
  send(response, code, status);
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
