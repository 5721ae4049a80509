import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Test } from 'tap';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { createDaemon } from '../../dfget/daemon/daemon.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { createSupernode } from '../../supernode/supernode.ts';
import { createTracker, type TrackerOptions } from '../../tracker/tracker.ts';

/** A whole cluster of one node in this process: tracker, supernode, and the daemon that is under test. */
export interface Ground {
  /** The registry mirror. */
  readonly port: number;
  readonly forward: { readonly port: number; readonly ca: string };
  /** URL of the tracker's public port. */
  readonly api: string;
  /** Of the daemon, for dfget's commands. */
  readonly socket: string;
  /** Starts one more daemon. @returns its socket */
  anotherNode(): Promise<string>;
  /** Makes it later for the daemon. */
  readonly clock: { shiftMs: number };
  /** Everything that was logged, at every level. */
  log(): string;
  metrics(): Promise<string>;
  close(): Promise<void>;
}

export interface GroundOptions {
  readonly upstreams: Readonly<Record<string, string | object>>;
  readonly defaultUpstream?: string;
  /** @default 127.0.0.1 */
  readonly host?: string;
  readonly forwardRules?: readonly string[];
  readonly tracker?: Partial<TrackerOptions>;
}

interface DaemonReady {
  readonly proxy: readonly { readonly address: string }[];
  readonly forward: { readonly address: string; readonly ca: string };
  readonly admin: string;
  readonly socket: string;
}

/** The node, in front of one registry that is called `registry.test`; the test puts both away at its end. */
export async function startGroundAt(
  t: Test,
  registry: { readonly url: string; close(): Promise<void> },
  more: Readonly<Record<string, string>> = {},
): Promise<Ground> {
  const upstreams = { 'registry.test': registry.url, ...more };
  const ground = await startGround({ upstreams, defaultUpstream: 'registry.test' });
  t.teardown(async () => {
    await ground.close();
    await registry.close();
  });
  return ground;
}

export async function startGround(options: GroundOptions): Promise<Ground> {
  const cleanup = new AsyncDisposableStack();
  try {
    const folder = await mkdtemp(join(tmpdir(), 'damselfly-conformance-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const lines: string[] = [];
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lines.push(String(chunk));
        done();
      },
    });
    const log = pino({ level: 'debug' }, sink);
    const system = createSystemClock();
    const deps = { clock: system, rng: createSystemRng(), log, wallClockMs: Date.now };
    const host = options.host ?? '127.0.0.1';
    const at = host.includes(':') ? `[${host}]:0` : `${host}:0`;
    const listen = { host, port: 0 };
    const tracker = await createTracker(deps, {
      ...{ listen, httpListen: listen },
      ...options.tracker,
    });
    cleanup.defer(() => tracker.close());
    const upstream = Object.entries(options.upstreams).map(([name, given]) =>
      typeof given === 'string' ? `${name}=${given}` : { name, ...given },
    );
    const shown = host.includes(':') ? `[${host}]` : host;
    const shared = {
      ...{ tracker: [`ws://${shown}:${tracker.controlAddress.port}`], upstream },
      ...{ peerListen: at, adminListen: at, insecure: true },
    };
    const supernode = await createSupernode(
      deps,
      supernodeConfig.parse({ ...shared, dataDir: [join(folder, 'supernode')] }),
    );
    cleanup.defer(() => supernode.close());
    const clock = shiftable(system);
    let nodes = 0;
    const startNode = async (clock: Clock): Promise<DaemonReady> => {
      const name = `node${++nodes}`;
      const daemon = await createDaemon(
        { ...deps, clock },
        daemonConfig.parse({
          ...{ ...shared, dataDir: [join(folder, name)], socket: join(folder, `${name}.socket`) },
          ...{ proxyListen: [at], forwardProxy: at, forwardRule: options.forwardRules ?? [] },
          ...(options.defaultUpstream === undefined ? {} : { defaultUpstream: options.defaultUpstream }),
        }),
      );
      cleanup.defer(() => daemon.close());
      const ready = daemon.ready as unknown as DaemonReady;
      await trackerReached(ready.admin);
      return ready;
    };
    const ready = await startNode(clock);
    return {
      port: portOf(ready.proxy[0]?.address ?? ''),
      forward: { port: portOf(ready.forward.address), ca: await readFile(ready.forward.ca, 'utf8') },
      api: `http://${shown}:${tracker.httpAddress.port}`,
      socket: ready.socket,
      anotherNode: async () => (await startNode(system)).socket,
      clock,
      log: () => lines.join(''),
      metrics: async () => await (await fetch(`http://${ready.admin}/metrics`)).text(),
      close: () => cleanup.disposeAsync(),
    };
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}

function shiftable(clock: Clock): Clock & { shiftMs: number } {
  const shifted = {
    shiftMs: 0,
    now: (): number => clock.now() + shifted.shiftMs,
    after: (delayMs: number, callback: () => void) => clock.after(delayMs, callback),
  };
  return shifted;
}

/** Until then a node reads the registry by itself, which is not what most cases are about. */
async function trackerReached(admin: string): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  while ((await fetch(`http://${admin}/readyz`, { signal: deadline })).status !== 200) {
    deadline.throwIfAborted();
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
