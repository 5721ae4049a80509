import { BoundedMap } from '../../core/bounded-map.ts';
import { DamselflyError } from '../../core/errors.ts';
import { type LayoutAddress, parseLayoutAddress } from '../../core/layout-address.ts';
import type { S3Address } from '../../core/s3-address.ts';
import type { Upstream } from '../../core/upstream.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { openS3 } from '../../objects/s3/s3-object-store.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Tracer } from '../../observe/spans.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { Disk } from '../../store/disk/disk.ts';
import { createNodeDisk } from '../../store/disk/node-disk.ts';
import type { Credentials } from '../credentials.ts';
import { Endpoints } from '../endpoints.ts';
import { NewestAuthorization } from '../newest-authorization.ts';
import type { Endpoint, Registry } from '../registry.ts';
import { SignedRedirects } from '../signed-redirects.ts';
import { tracedExchange } from '../traced-exchange.ts';
import { openBucket } from './bucket-files.ts';
import { openFolder } from './folder-files.ts';
import { type LayoutTimeouts, layoutExchange } from './layout-exchange.ts';
import type { LayoutFiles } from './layout-files.ts';

export interface LayoutDeps {
  readonly metrics?: Metrics;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
  readonly clock: Clock;
  readonly rng: Rng;
  /** @default the machine's */
  readonly disk?: Disk | undefined;
  /** @default by Amazon's SDK */
  readonly openObjects?: ((address: S3Address) => Promise<ObjectStore>) | undefined;
}

/** Nobody is asked who he is. */
const NO_CREDENTIALS: Credentials = {
  configured: false,
  known: () => undefined,
  answer: async () => undefined,
};

/**
 * Opens the way to images in folders or buckets, which then are read as those of a registry that lets everybody read.
 * @throws CONFIG_INVALID
 */
export function openLayouts(deps: LayoutDeps, upstream: Upstream, timeouts: LayoutTimeouts): Registry {
  const { clock, rng } = deps;
  const closing = new AbortController();
  const opened = [upstream.url, ...(upstream.replicas ?? [])].map((text) => openFiles(deps, text));
  const endpoints = opened.map((files): Endpoint => {
    const exchange = tracedExchange(
      layoutExchange(files, { ...deps, closing: closing.signal }, timeouts),
      deps.tracer,
    );
    const at = (path: string): URL => new URL(path, `oci://${upstream.name}`);
    return { host: files.place, exchange, credentials: NO_CREDENTIALS, at };
  });
  const close = async (): Promise<void> => {
    closing.abort();
    await Promise.all(opened.map((files) => files.close()));
  };
  return {
    trust: upstream.trust ?? 'node',
    grantsPull: () => false,
    // The owner of folder or bucket lets us read, and not anybody.
    namesUs: true,
    endpoints: new Endpoints(deps, endpoints),
    newest: new NewestAuthorization(),
    redirects: new SignedRedirects(clock),
    givesUnasked: new BoundedMap(1),
    shownAsOurs: new BoundedMap(1),
    storage: () => Promise.reject(new DamselflyError('INTERNAL', 'a layout redirects nobody')),
    clock,
    rng,
    finish: close,
    close,
  };
}

function openFiles({ disk = createNodeDisk(), openObjects = openS3 }: LayoutDeps, text: string): LayoutFiles {
  const address: LayoutAddress | undefined = parseLayoutAddress(text);
  if (address === undefined) {
    throw new DamselflyError('CONFIG_INVALID', `no place of an OCI layout: ${JSON.stringify(text)}`);
  }
  if (address.kind === 'folder') return openFolder(disk, address.folder);
  const { bucket, prefix } = address.bucket;
  // At once: the SDK takes a second to load, and the first client would wait for it.
  return openBucket(`s3://${bucket}/${prefix}`, openObjects(address.bucket));
}
