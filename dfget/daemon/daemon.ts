import type { SettingsSources } from '../../lib/command/process-command.ts';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { descriptorOf } from '../../lib/core/listen-place.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { type RunningProcess, STOP_MS } from '../../lib/runtime/system-process.ts';
import { createHostParts, type HostParts } from '../../lib/transfer/host-parts.ts';
import { createRegistryProxy, type RegistryProxy } from '../../registry-proxy/server.ts';
import { createDaemonClient } from '../daemon-client.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { CacheApiDeps } from './cache-api.ts';
import type { DaemonConfig } from './config.ts';
import { describeDaemon, describeListeners } from './describe.ts';
import { Handover, type HandoverHost } from './handover/hand-over.ts';
import { MovableSource } from './handover/movable-source.ts';
import { createSuccessorSource } from './handover/successor-source.ts';
import { type Takeover, takeOver } from './handover/take-over.ts';
import { placeName, type SocketName } from './inherited-listeners.ts';
import { type LocalApi, type LocalSettings, startLocalApi } from './local-api.ts';
import { hasCluster, type Node, type NodeDeps, openNode } from './node.ts';
import { withOfflineRegistries } from './offline-registry.ts';
import { writePidFile } from './pid-file.ts';
import { offlineNames, proxyConfig } from './proxy-config.ts';
import { loadProxyTls, plainProxyNotes } from './proxy-exposure.ts';
import { DaemonSettings } from './settings.ts';
import { trafficOf } from './traffic.ts';

/** After an upgrade: a client that takes longer over one answer resumes by Range. */
const RETIRED_MS = 60 * 60_000;

export interface DaemonOptions {
  /** Leaves its work to the next daemon when asked. @default false */
  readonly handsOver?: boolean;
  /** To change settings while it runs, and the settings as first read; absent: they stay. */
  readonly sources?: SettingsSources<DaemonConfig> & { readonly config: DaemonConfig };
}

/**
 * A node daemon: registry proxy, swarm peer and store on one machine. With `config.upgrade` it takes the place of the
 * daemon behind its socket, if there is one.
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_*, UPGRADE_FAILED
 */
export async function createDaemon(
  deps: NodeDeps,
  config: DaemonConfig,
  options: DaemonOptions = {},
): Promise<RunningProcess> {
  const parts = await createHostParts(deps, config, 'node');
  let daemon: Daemon | undefined;
  try {
    const takeover = config.upgrade ? await takeOver(deps, config.socket) : undefined;
    daemon = new Daemon(deps, config, parts, await openNode(deps, config, parts));
    await daemon.start(options, takeover);
    return daemon;
  } catch (error) {
    await (daemon ?? parts).close();
    throw error;
  }
}

class Daemon implements RunningProcess, HandoverHost {
  readonly #deps: NodeDeps;
  readonly #config: DaemonConfig;
  readonly #parts: HostParts;
  readonly #blobs: MovableSource;
  readonly #origin: OriginClient;
  readonly #ended = Promise.withResolvers<void>();
  #node: Node;
  #proxy: RegistryProxy | undefined;
  #api: LocalApi | undefined;
  #removePidFile = async (): Promise<void> => {};
  #listeners: Pick<RunningProcess, 'ready' | 'summary'> = { ready: {}, summary: '' };
  /** Whoever has the blobs next, while a handover is under way. */
  #next: PromiseWithResolvers<BlobSource> | undefined;
  #closing = false;
  #settings: DaemonSettings | undefined;

  constructor(deps: NodeDeps, config: DaemonConfig, parts: HostParts, node: Node) {
    this.#deps = deps;
    this.#config = config;
    this.#parts = parts;
    this.#node = node;
    this.#blobs = new MovableSource(node.engine);
    this.#origin = withOfflineRegistries(parts.origin, () => this.#node, offlineNames(config));
  }

  get stopLimitMs(): number {
    return this.#drainMs + STOP_MS;
  }

  get #drainMs(): number {
    return (this.#settings?.config ?? this.#config).drainTimeout;
  }

  get ready(): RunningProcess['ready'] {
    return this.#listeners.ready;
  }

  get summary(): string {
    return this.#listeners.summary;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Begins to serve. @throws CONFIG_INVALID, UPGRADE_FAILED */
  async start({ handsOver = false, sources }: DaemonOptions, takeover: Takeover | undefined): Promise<void> {
    const { clock, log } = this.#deps;
    const { metrics, tracer } = this.#parts;
    const origin = this.#origin;
    const config = this.#config;
    const notes = plainProxyNotes(config);
    for (const note of notes) log.warn({}, note);
    const proxyTls = loadProxyTls(this.#deps, config);
    const proxy = await createRegistryProxy(
      {
        ...this.#deps,
        ...{ origin, metrics, tracer, blobs: this.#blobs },
        isPaused: (upstream) => this.#node.pause.isPaused(upstream),
      },
      { ...proxyConfig(config, origin.upstreams, this.#node.stateFolder), tls: proxyTls },
    );
    this.#proxy = proxy;
    if (sources !== undefined) this.#settings = new DaemonSettings({ log, parts: this.#parts }, sources);
    this.#followSettings();
    const handover = handsOver ? { handover: new Handover(this.#deps, this) } : {};
    const pause = (): Node['pause'] => this.#node.pause;
    const cached = (): CacheApiDeps => {
      const { engine, images, shares, store } = this.#node;
      return { images, shares, store, cache: engine.cache };
    };
    const preheats = (): Node['preheat']['questions'] => this.#node.preheat.questions;
    const status = async (): Promise<DaemonStatus> => ({
      ...describeDaemon(this.#node, proxy, config),
      traffic: await trafficOf(metrics),
    });
    this.#api = await startLocalApi(
      {
        blobs: this.#blobs,
        origin,
        upstreams: config.upstream,
        pause,
        cached,
        preheats,
        needsCapabilities: this.#deps.credentials !== undefined,
        shares: () => this.#node.shares,
        status,
        trace: () => this.#node.traced,
        clock,
        log,
        ...handover,
        ...this.#localSettings(),
      },
      config.socket,
      { replace: takeover !== undefined },
    );
    // Before the other daemon may end: systemd looks then.
    this.#removePidFile = await writePidFile(config.pidFile);
    takeover?.done();
    this.#listeners = describeListeners(this.#node, proxy, config);
    log.info({ at: this.#listeners.ready, trackers: config.tracker }, 'daemon runs');
  }

  /** The node is another one after each time it was opened. */
  #followSettings(): void {
    const settings = this.#settings;
    const node = this.#node;
    node.addNotes(() => plainProxyNotes(this.#config));
    if (settings === undefined) return;
    node.addNotes(() => settings.refusals);
    node.cluster.follow((news) => settings.obey(node.self(), news));
  }

  #localSettings(): { readonly settings?: LocalSettings } {
    const settings = this.#settings;
    if (settings === undefined) return {};
    return {
      settings: {
        get: () => settings.answer(this.#node.cluster),
        change: (change) => {
          if (hasCluster(this.#config)) return settings.change(this.#node.cluster, change);
          const message = 'this daemon has no tracker, and so no cluster: change its settings file';
          throw new DamselflyError('CONFIG_INVALID', message);
        },
      },
    };
  }

  sockets(): ReturnType<HandoverHost['sockets']> {
    const { adminListen, forwardProxy, peerListen, proxyListen } = this.#config;
    const { descriptors } = this.#node;
    const { forwardServer, servers = [] } = this.#proxy ?? {};
    const socket = (
      name: SocketName,
      fd: number | undefined,
      place: Parameters<typeof placeName>[0] | undefined,
    ) => (fd === undefined || place === undefined ? [] : [{ name, fd, at: placeName(place) }]);
    return [
      ...servers.flatMap((server, index) => socket('proxy', descriptorOf(server), proxyListen[index])),
      ...(forwardServer === undefined ? [] : socket('forward', descriptorOf(forwardServer), forwardProxy)),
      ...socket('peer', descriptors.peer, peerListen),
      ...socket('admin', descriptors.admin, adminListen),
    ];
  }

  async release(): Promise<void> {
    this.#next = Promise.withResolvers();
    await this.#blobs.moveTo(this.#next.promise);
    await this.#node.close();
  }

  async takeBack(): Promise<void> {
    if (this.#closing) return;
    this.#node = await openNode(this.#deps, { ...this.#config, ...this.#node.places }, this.#parts);
    this.#removePidFile = await writePidFile(this.#config.pidFile);
    this.#followSettings();
    this.#next?.resolve(this.#node.engine);
  }

  giveUp(error: unknown): void {
    this.#next?.reject(error);
    this.#ended.reject(error);
  }

  retire(): void {
    const client = createDaemonClient(this.#config.socket);
    this.#next?.resolve(createSuccessorSource(this.#deps.clock, client));
    this.#drain(RETIRED_MS)
      .finally(() => client.close())
      .then(this.#ended.resolve, this.#ended.reject);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#drain(this.#drainMs);
  }

  /** Takes nothing new, lets answers under way end, for so long; then ends all the rest. */
  async #drain(deadlineMs: number): Promise<void> {
    this.#settings?.close();
    await Promise.all([this.#proxy?.close({ deadlineMs }), this.#api?.close({ deadlineMs })]);
    await this.#node.close();
    await this.#parts.close();
    await this.#removePidFile();
  }
}
