import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { blobPath } from '../../../lib/store/path.ts';
import { type Child, run, startChild } from '../../fixtures/child.ts';
import { proxyUrl, startCluster } from '../../fixtures/cluster.ts';
import { createImage } from '../../fixtures/image.ts';
import { pullImage } from '../../fixtures/pull.ts';
import { startEmbeddedRegistry } from '../../fixtures/start-embedded-registry.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { usageOf } from '../../fixtures/usage.ts';
import { type Figure, inPairs, median, type Row, type RowContext } from '../row.ts';

const BLOB_BYTES = 1024 ** 3;
/** Downloads of one run, one after another: a single one is over too soon to count its CPU by hundredths of a second. */
const DOWNLOADS = 3;
const REPOSITORY = 'bench/app';
const UPSTREAM = 'registry.bench';

interface Served {
  readonly bytesPerSecond: number;
  readonly cpuSecondsPerGB: number;
}

/** A node's registry proxy hands a complete 1 GiB blob to curl, beside nginx with sendfile of the very file. */
export const serveVsNginx: Row = {
  name: 'serve-vs-nginx',
  about:
    'rate at which a daemon serves a warm 1 GiB blob to curl, to that of nginx (sendfile) for the same file',
  needs: ['nginx', 'curl'],
  measure,
};

async function measure(context: RowContext): Promise<readonly Figure[]> {
  const { signal } = context;
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('serve')).path;
  const layout = join(folder, 'image');
  const { layers } = await createImage({
    ...{ folder: layout, tag: 'v1', totalBytes: BLOB_BYTES, layers: 1, seed: 'serve' },
  });
  const layer = layers[0]!;
  const registry = await startEmbeddedRegistry({ folder, layout, repository: REPOSITORY, signal });
  cleanup.defer(() => registry.stop());
  const cluster = await startCluster({
    secure: false,
    ...{ folder, nodes: 1, supernodes: 0, signal, defaultUpstream: UPSTREAM },
    upstreams: { [UPSTREAM]: registry.url },
  });
  cleanup.defer(() => cluster.stop());
  const daemon = cluster.daemons[0]!;
  const base = proxyUrl(daemon);
  await pullImage({ base, repository: REPOSITORY, tag: 'v1' }, { signal });

  const file = blobPath(join(folder, daemon.name), layer.digest);
  const nginx = await startNginx(folder, file, signal);
  cleanup.defer(() => nginx.stop());
  const blobUrl = `${base}/v2/${REPOSITORY}/blobs/${layer.digest}`;
  const pairs = await inPairs(
    context,
    () => serve(blobUrl, daemon.ready.pid, layer.size),
    () => serve(`http://${nginx.ready}/blob`, nginx.pid, layer.size),
  );
  const rates = pairs.map(({ ours, baseline }) => ours.bytesPerSecond / baseline.bytesPerSecond);
  const cpu = pairs.map(({ ours, baseline }) => ours.cpuSecondsPerGB / baseline.cpuSecondsPerGB);
  const cpuSecondsPerGB = {
    ours: median(pairs.map(({ ours }) => ours.cpuSecondsPerGB)),
    baseline: median(pairs.map(({ baseline }) => baseline.cpuSecondsPerGB)),
  };
  const { peakRssBytes } = await usageOf([daemon.ready.pid]);
  const mbPerSecond = (side: 'ours' | 'baseline'): number =>
    Math.round(median(pairs.map((pair) => pair[side].bytesPerSecond)) / 1e6);
  const common = { unit: 'x', cpuSecondsPerGB, peakRssBytes } as const;
  return [
    {
      ...{ row: 'serve-vs-nginx', value: median(rates), target: 0.75, better: 'higher', runs: rates },
      ...common,
      note: `${mbPerSecond('ours')} MB/s to curl, nginx ${mbPerSecond('baseline')} MB/s`,
    },
    {
      ...{ row: 'serve-vs-nginx-cpu', value: median(cpu), target: 2.5, better: 'lower', runs: cpu },
      ...common,
      note: 'of the serving process; sendfile leaves its copy to the receiver',
    },
  ];
}

async function serve(url: string, pid: number, size: number): Promise<Served> {
  const before = await usageOf([pid]);
  let seconds = 0;
  for (let i = 0; i < DOWNLOADS; i++) seconds += await download(url, size);
  const { cpuSeconds } = await usageOf([pid]);
  const bytes = DOWNLOADS * size;
  return {
    bytesPerSecond: bytes / seconds,
    cpuSecondsPerGB: (cpuSeconds - before.cpuSeconds) / (bytes / 1e9),
  };
}

/** Seconds that curl took. */
async function download(url: string, size: number): Promise<number> {
  const { code, stdout } = await run('curl', [
    ...['--silent', '--fail', '--output', '/dev/null', '--max-time', '60'],
    ...['--write-out', '%{size_download} %{time_total}', url],
  ]);
  const [bytes, seconds = 0] = stdout.split(' ').map(Number);
  if (code !== 0 || bytes !== size) throw new Error(`curl ${url}: code ${code}, ${stdout}`);
  return seconds;
}

/** One nginx process that serves the file as `/blob`, as it would a static site: sendfile, no access log. */
async function startNginx(folder: string, file: string, signal: AbortSignal): Promise<Child<string>> {
  const address = `127.0.0.1:${await freePort()}`;
  const config = join(folder, 'nginx.conf');
  // Without a master process there is one pid, whose CPU time is all of it.
  await writeFile(
    config,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr notice;
events {}
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_timeout 60;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen ${address}; location = /blob { alias ${file}; } }
}
`,
  );
  return await startChild({
    command: 'nginx',
    args: ['-c', config, '-p', folder, '-e', 'stderr'],
    logFile: join(folder, 'nginx.log'),
    ready: (line) => (line.includes('OS: Linux') ? address : undefined),
    signal,
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
