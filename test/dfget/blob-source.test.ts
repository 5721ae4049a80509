import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadClusterState } from '../../dfget/daemon/cluster-state.ts';
import { MovableSource } from '../../dfget/daemon/handover/movable-source.ts';
import { createSuccessorSource } from '../../dfget/daemon/handover/successor-source.ts';
import { loadImportedImages } from '../../dfget/daemon/imported-images.ts';
import { startLocalApi } from '../../dfget/daemon/local-api.ts';
import { loadPause } from '../../dfget/daemon/pause.ts';
import { createDaemonClient } from '../../dfget/daemon-client.ts';
import { Shares } from '../../dfget/torrent/shares.ts';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { createNoDiscovery } from '../../lib/discovery/no-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { TraceRing } from '../../lib/observe/trace-ring.ts';
import { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { createMemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { PreheatQuestions } from '../../lib/transfer/preheat/preheat-questions.ts';
import type { TraceApiDeps } from '../../lib/transfer/trace-api.ts';
import { blobSourceContract } from '../contract/blob-source.ts';

const MIB = 1024 * 1024;
const clock = createSystemClock();
const rng = createRng(1);
const log = silentLog();
const wallClockMs = (): number => Date.now();

// Clock timers do not keep a process alive, and here nothing else is waiting.
const keptAlive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(keptAlive));

/** A node alone with its registry. */
async function createNode(): Promise<{ engine: PeerEngine; registry: MemoryOrigin; store: BlobStore }> {
  const registry = new MemoryOrigin({ clock, latencyMs: 1, bytesPerSecond: 500 * MIB });
  const keyValue = createMemoryKeyValue();
  const disk = createMemoryDisk();
  const store = await openBlobStore({ disk, keyValue, log, clock, wallClockMs, folder: '/node' });
  const engine = new PeerEngine({
    self: () => ({ id: '1'.repeat(40), role: 'node', host: 'alone', port: 1, zone: '' }),
    network: createMemoryNetwork({ clock, rng }).host('alone'),
    discovery: createNoDiscovery(),
    store,
    origin: registry.client(),
    pool: createBufferPool({ budgetBytes: 64 * MIB }),
    clock,
    rng,
    log,
    metrics: createMetrics({ defaults: false }),
    wallClockMs,
  });
  engine.start();
  return { engine, registry, store };
}

t.test('the engine of a node as a BlobSource', async (t) => {
  const { engine, registry } = await createNode();
  t.teardown(() => engine.close());
  blobSourceContract(t, () => ({ source: engine, registry }));
});

t.test('a source that is exchanged all the time as a BlobSource', async (t) => {
  const { engine, registry } = await createNode();
  t.teardown(() => engine.close());
  const movable = new MovableSource(engine);
  // Not while a reader waits for its first bytes: it would begin anew for ever.
  const restless: BlobSource = {
    async *open(request, options) {
      for await (const chunk of movable.open(request, options)) {
        await movable.moveTo(Promise.resolve(engine));
        yield chunk;
      }
    },
  };
  blobSourceContract(t, () => ({ source: restless, registry }));
});

/** A node behind a socket. */
async function listen(t: Test) {
  const { engine, registry, store } = await createNode();
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-socket-'));
  const path = join(folder, 'daemon.sock');
  const metrics = createMetrics({ defaults: false });
  const cluster = await loadClusterState(
    { log, clock, discovery: createNoDiscovery(), wallClockMs: Date.now },
    folder,
  );
  const pause = await loadPause(
    { log, metrics, cluster },
    { folder, upstreams: ['registry.test'], hasTracker: false },
  );
  const images = await loadImportedImages({ log, store }, folder);
  const shares = await Shares.open(
    { clock, log, metrics, store, owner: () => 'x' },
    { folder, listen: { host: '127.0.0.1', port: 0 }, announceTo: [], publishTo: [] },
  );
  const cached = { cache: engine.cache, images, shares, store };
  const status = (): object => ({ id: 'x' });
  const self = { id: 'x', role: 'node', host: '', port: 1, zone: '' } as const;
  const ring = new TraceRing();
  const trace = (): TraceApiDeps => ({ ring, clock, self: () => self, wallClockMs: Date.now });
  const deps = {
    ...{ blobs: engine, origin: registry.client(), pause: () => pause, cached: () => cached },
    preheats: () => new PreheatQuestions(clock),
    shares: () => shares,
    ...{ status, clock, log, trace, needsCapabilities: false, upstreams: [] },
  };
  const api = await startLocalApi(deps, path);
  const client = createDaemonClient(path);
  t.teardown(async () => {
    await client.close();
    await api.close();
    await shares.close();
    await engine.close();
    rmSync(folder, { recursive: true });
  });
  return { client, deps, folder, path, registry };
}

t.test('the socket of a daemon as the daemon before it reads it', async (t) => {
  const { client, registry } = await listen(t);
  const source = createSuccessorSource(clock, client);
  blobSourceContract(t, () => ({ source, registry }));
});

t.test('the socket of a daemon as a BlobSource', async (t) => {
  const { client, deps, folder, path, registry } = await listen(t);
  blobSourceContract(t, () => ({ source: client, registry }));

  t.test('a second daemon does not take a socket that is in use', async (t) => {
    await t.rejects(startLocalApi(deps, path), {
      code: 'CONFIG_INVALID',
      message: /another daemon listens there/,
    });
    t.match(await client.status(AbortSignal.timeout(5000)), { id: 'x' }, 'the first one still answers');
  });

  t.test('a socket that cannot be there is a wrong setting, and told as one', async (t) => {
    const long = join(folder, 'x'.repeat(100));
    await t.rejects(startLocalApi(deps, long), { code: 'CONFIG_INVALID', message: /longer than 107 bytes/ });
    await t.rejects(createDaemonClient(long).status(AbortSignal.timeout(5000)), {
      code: 'DAEMON_UNREACHABLE',
      message: /longer than 107 bytes/,
    });
    const inFile = join(path, 'below', 'a', 'socket');
    await t.rejects(startLocalApi(deps, inFile), { code: 'CONFIG_INVALID', message: /--socket/ });
  });

  t.test('without a daemon the client says what to do', async (t) => {
    const nobody = createDaemonClient(join(folder, 'nobody.sock'));
    await t.rejects(nobody.status(AbortSignal.timeout(5000)), {
      code: 'DAEMON_UNREACHABLE',
      message: /damselfly up/,
    });
  });
});
