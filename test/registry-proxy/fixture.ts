import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { createBlobHasher, digestAlgorithm, digestOf } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { type Logger, silentLog } from '../../lib/observe/log.ts';
import { createMetrics, type Metrics } from '../../lib/observe/metrics.ts';
import { MANIFEST_ACCEPT } from '../../lib/oci/media-types.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createRegistryProxy, type RegistryProxyConfig } from '../../registry-proxy/server.ts';

/** Reads straight from the registry, as a node without a swarm would: verified, the last chunk held back. */
function straightSource(origin: OriginClient): BlobSource {
  return {
    async *open(request, { signal }) {
      const { start = 0, end = request.size } = request.range ?? {};
      const { bytes } = await origin.readBlob(
        { origin: request.origin, digest: request.digest, start, end },
        { signal },
      );
      if (start > 0 || end < request.size) {
        yield* bytes;
        return;
      }
      const hasher = createBlobHasher(digestAlgorithm(request.digest));
      let held: Uint8Array | undefined;
      for await (const chunk of bytes) {
        hasher.update(chunk);
        if (held !== undefined) yield held;
        held = chunk;
      }
      const actual = hasher.digest();
      if (actual !== request.digest) throw new DamselflyError('DIGEST_MISMATCH', 'other bytes', { actual });
      if (held !== undefined) yield held;
    },
  };
}

/** Holds what a store would hold after an earlier pull, and reads nothing from anywhere. */
export function warmSource(...blobs: readonly Uint8Array[]): BlobSource {
  const held = new Map(blobs.map((bytes) => [digestOf(bytes), bytes]));
  return {
    async *open({ digest, range }) {
      const bytes = held.get(digest);
      if (bytes === undefined) throw new DamselflyError('BLOB_UNKNOWN', 'not held', { digest });
      yield bytes.subarray(range?.start ?? 0, range?.end);
    },
  };
}

/** The system's clock, and a way to make it later. */
function createShiftedClock(): Clock & { shiftMs: number } {
  const clock = createSystemClock();
  const shifted: Clock & { shiftMs: number } = {
    shiftMs: 0,
    now: () => clock.now() + shifted.shiftMs,
    after: (delayMs, callback) => clock.after(delayMs, callback),
  };
  return shifted;
}

export interface ProxyFixture {
  readonly port: number;
  readonly ports: readonly number[];
  readonly metrics: Metrics;
  readonly clock: ReturnType<typeof createShiftedClock>;
  close(): Promise<void>;
}

/** A whole proxy over `upstreams`, on free ports. */
export async function startProxy(
  upstreams: readonly Upstream[],
  options: Partial<RegistryProxyConfig> & {
    readonly blobs?: BlobSource;
    readonly isPaused?: (upstream: string) => boolean;
    /** For tests of silent registries; the real limits by default. */
    readonly headersTimeoutMs?: number;
    /** By default nothing is logged. */
    readonly log?: Logger;
  } = {},
): Promise<ProxyFixture> {
  const { blobs: given, headersTimeoutMs, isPaused = () => false, log = silentLog(), ...config } = options;
  const metrics = createMetrics({ defaults: false });
  const clock = createShiftedClock();
  const origin = createOriginClient(
    { upstreams, metrics, log, clock },
    headersTimeoutMs === undefined ? {} : { headersTimeoutMs },
  );
  const blobs = given ?? straightSource(origin);
  const proxy = await createRegistryProxy(
    { origin, blobs, metrics, log, clock, isPaused, wallClockMs: () => Date.now() + clock.shiftMs },
    { listeners: [{ host: '127.0.0.1', port: 0 }], ...config },
  );
  const ports = proxy.addresses.map(({ port }) => port);
  return {
    port: ports[0] ?? 0,
    ports,
    metrics,
    clock,
    async close() {
      await proxy.close();
      await origin.close();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The connection was cut before the body was whole. */
  readonly cut: boolean;
}

/** What clients say of manifests that they understand: registries answer 404 to those who say nothing. */
const ACCEPT = `${MANIFEST_ACCEPT}, */*`;

/** One request with exactly this path, on a connection of its own. */
export async function ask(
  port: number,
  path: string,
  {
    host = '127.0.0.1',
    method = 'GET',
    headers = {},
  }: { readonly host?: string; readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(
      { host, port, path, agent: false, method, headers: { accept: ACCEPT, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        const done = (cut: boolean) => () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
            cut,
          });
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', done(false));
        response.on('error', done(true));
      },
    );
    request.on('error', reject);
    request.end();
  });
}

/** Code of the registry error in an answer. */
export function errorCode(answer: Answer): string | undefined {
  const body = JSON.parse(answer.body.toString()) as { errors: { code: string }[] };
  return body.errors[0]?.code;
}
