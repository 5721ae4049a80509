import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Agent, fetch, type Response } from 'undici';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { Certificate } from './certificate.ts';
import { ISSUER, SERVICE } from './token-server.ts';

export interface DockerRegistry {
  readonly url: string;
  /** Authorization value that may push and pull; undefined when the registry asks for none. */
  readonly authorization: string | undefined;
  pushBlob(repository: string, bytes: Uint8Array): Promise<Digest>;
  /** @returns its digest; by which alone it is pushed when there is no tag */
  pushManifestBytes(
    repository: string,
    tag: string | undefined,
    type: string,
    bytes: Uint8Array,
  ): Promise<Digest>;
  /** @returns digest of the manifest */
  pushManifest(repository: string, tag: string, manifest: object): Promise<Digest>;
  /** Makes an image of these layers and a small config. */
  pushImage(
    repository: string,
    tag: string,
    layers: readonly Uint8Array[],
  ): Promise<{ manifest: Digest; config: Digest; layers: Digest[] }>;
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 15_000;

/** Whether the program is on the PATH; tests that need it say so aloud and skip. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

export interface DockerRegistryOptions {
  /** With a password: htpasswd. */
  readonly user?: string;
  readonly password?: string;
  readonly tls?: Certificate;
  /** Tokens of this service are taken; `authorization` is what images are pushed with. */
  readonly tokens?: {
    readonly realm: string;
    readonly certificate: Certificate;
    readonly authorization: string;
  };
}

/** Starts the real distribution registry on a free port, its data in a temporary folder. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-registry-'));
  const { user, password, tls, tokens } = options;
  const secured = user !== undefined && password !== undefined;
  const htpasswd = join(folder, 'htpasswd');
  if (secured) writeFileSync(htpasswd, execFileSync('htpasswd', ['-Bbn', user, password]));
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
    http: {
      addr: '127.0.0.1:0',
      secret: 'test',
      ...(tls === undefined ? {} : { tls: { certificate: tls.certPath, key: tls.keyPath } }),
    },
    ...(secured ? { auth: { htpasswd: { realm: 'test', path: htpasswd } } } : {}),
    ...(tokens === undefined ? {} : { auth: { token: tokenAuth(tokens) } }),
  };
  // JSON is YAML.
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const url = `http${tls === undefined ? '' : 's'}://127.0.0.1:${await listeningPort(child)}`;
    const authorization = secured
      ? `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
      : tokens?.authorization;
    const agent = new Agent(tls === undefined ? {} : { connect: { ca: tls.cert } });
    const close = async (): Promise<void> => {
      await agent.destroy();
      await stop();
    };
    return { url, authorization, close, ...pushing(url, authorization, agent) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function tokenAuth({ realm, certificate }: NonNullable<DockerRegistryOptions['tokens']>): object {
  return { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: certificate.certPath };
}

async function listeningPort(child: ChildProcess): Promise<number> {
  if (child.stderr === null) throw new Error('the registry has no stderr');
  const lines = createInterface({ input: child.stderr });
  const port = new Promise<number>((resolve, reject) => {
    lines.on('line', (line) => {
      const match = /listening on 127\.0\.0\.1:(\d+)/.exec(line);
      if (match !== null) resolve(Number(match[1]));
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}`)));
    AbortSignal.timeout(START_TIMEOUT_MS).addEventListener('abort', () =>
      reject(new Error('docker-registry does not start')),
    );
  });
  return await port;
}

function pushing(
  url: string,
  authorization: string | undefined,
  dispatcher: Agent,
): Pick<DockerRegistry, 'pushBlob' | 'pushManifest' | 'pushManifestBytes' | 'pushImage'> {
  const send = async (
    target: URL | string,
    method: string,
    body: Uint8Array | undefined,
    type: string,
  ): Promise<Response> => {
    const headers = { 'content-type': type, ...(authorization === undefined ? {} : { authorization }) };
    const content = body === undefined ? {} : { body: Buffer.from(body) };
    const response = await fetch(target, { method, headers, dispatcher, ...content });
    if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    return response;
  };
  const pushBlob = async (repository: string, bytes: Uint8Array): Promise<Digest> => {
    const started = await send(
      `${url}/v2/${repository}/blobs/uploads/`,
      'POST',
      undefined,
      'application/octet-stream',
    );
    const digest = digestOf(bytes);
    const upload = new URL(started.headers.get('location') ?? '', url);
    upload.searchParams.set('digest', digest);
    await send(upload, 'PUT', bytes, 'application/octet-stream');
    return digest;
  };
  const pushManifestBytes: DockerRegistry['pushManifestBytes'] = async (repository, tag, type, bytes) => {
    const digest = digestOf(bytes);
    await send(`${url}/v2/${repository}/manifests/${tag ?? digest}`, 'PUT', bytes, type);
    return digest;
  };
  const pushManifest = async (repository: string, tag: string, manifest: object): Promise<Digest> => {
    const bytes = Buffer.from(JSON.stringify(manifest));
    return await pushManifestBytes(repository, tag, (manifest as { mediaType: string }).mediaType, bytes);
  };
  return {
    pushBlob,
    pushManifest,
    pushManifestBytes,
    async pushImage(repository, tag, layers) {
      const configBytes = Buffer.from(
        JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }),
      );
      const config = await pushBlob(repository, configBytes);
      const digests = await Promise.all(layers.map((layer) => pushBlob(repository, layer)));
      const manifest = await pushManifest(
        repository,
        tag,
        imageManifest(
          { digest: config, size: configBytes.length },
          layers.map((layer) => ({ digest: digestOf(layer), size: layer.length })),
        ),
      );
      return { manifest, config, layers: digests };
    },
  };
}

/** An OCI image manifest. */
export function imageManifest(
  config: { digest: string; size: number },
  layers: readonly { digest: string; size: number }[],
): object {
  return {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
  };
}
