import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { daemonConfig } from '../dfget/daemon/config.ts';
import { createDaemon } from '../dfget/daemon/daemon.ts';
import { type ProcessDeps, processCommand } from '../lib/command/process-command.ts';
import { startAsMember } from '../lib/command/start-as-member.ts';
import { defaultDataDir } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address } from '../lib/config/values.ts';
import { type RunningProcess, STOP_MS } from '../lib/runtime/system-process.ts';
import type { ClusterAuthority } from '../lib/security/cluster-authority.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import type { MemberRole } from '../lib/security/identity.ts';
import { ensureAuthority } from '../lib/security/system/authority-folder.ts';
import { supernodeConfig } from '../supernode/config.ts';
import { createSupernode } from '../supernode/supernode.ts';
import { DEFAULT_ADMIN, trackerConfig } from '../tracker/config.ts';
import { followRevocations } from '../tracker/follow-revocations.ts';
import { createTracker } from '../tracker/tracker.ts';

const node = daemonConfig.shape;
const supernode = supernodeConfig.shape;
const tracker = trackerConfig.shape;

/** Settings of `damselfly up`: those of the three processes that differ on one machine, under names that tell them apart. */
export const upConfig = z.object({
  upstream: node.upstream,
  offlineRegistry: node.offlineRegistry,
  authFile: node.authFile,
  defaultUpstream: node.defaultUpstream,
  staleIfError: node.staleIfError,
  tagsWhenDown: node.tagsWhenDown,
  proxyListen: node.proxyListen,
  forwardProxy: node.forwardProxy,
  forwardRule: node.forwardRule,
  peerListen: node.peerListen,
  adminListen: node.adminListen,
  socket: node.socket,
  drainTimeout: node.drainTimeout,
  supernodePeerListen: supernode.peerListen,
  supernodeAdminListen: supernode.adminListen,
  trackerListen: tracker.listen,
  trackerHttpListen: tracker.httpListen,
  trackerAdminListen: setting(address().default(DEFAULT_ADMIN), {
    argument: '<host:port>',
    help: `health and metrics of the tracker (default: ${DEFAULT_ADMIN.host}:${DEFAULT_ADMIN.port})`,
  }),
  dataDir: setting(z.string().min(1).default(defaultDataDir('')), {
    argument: '<folder>',
    help: `everything that is kept (default: ${defaultDataDir('')})`,
  }),
  storeMax: node.storeMax,
  storeHigh: node.storeHigh,
  storeLow: node.storeLow,
  storeTtl: node.storeTtl,
  cacheAfterPull: node.cacheAfterPull,
  containerdRoot: node.containerdRoot,
  prefetch: node.prefetch,
  verify: node.verify,
  scrubRate: node.scrubRate,
  bufferMemory: node.bufferMemory,
  uploadRate: node.uploadRate,
  downloadRate: node.downloadRate,
  registryRate: node.registryRate,
  maxConnections: node.maxConnections,
  sessionMax: supernode.sessionMax,
  background: node.background,
  advertise: node.advertise,
  zone: node.zone,
  logLevel: node.logLevel,
  insecure: node.insecure,
});

/** `damselfly up` */
export function upCommand(): Command {
  return processCommand({
    name: 'up',
    about:
      'Everything on this one machine: tracker, supernode and node, with an authority of their own. Other machines join with "dfget daemon --tracker --join-token".',
    schema: upConfig,
    defaultFile: '/etc/damselfly/up.yaml',
    examples: `  damselfly up --upstream harbor.corp=https://harbor.corp
  damselfly up --upstream docker.io=https://registry-1.docker.io --data-dir /srv/damselfly
`,
    start: startAll,
  });
}

interface MemberDeps extends ProcessDeps {
  readonly credentials: Credentials | undefined;
  readonly authority: ClusterAuthority | undefined;
}

async function startAll(deps: ProcessDeps, config: z.output<typeof upConfig>): Promise<RunningProcess> {
  const { dataDir, insecure, zone } = config;
  const caDir = join(dataDir, 'ca');
  const authority = insecure ? undefined : await ensureAuthority(caDir, deps.wallClockMs());
  const identity = { insecure, zone, enroll: [], tracker: [] };
  const started: RunningProcess[] = [];
  const close = async (): Promise<void> => {
    for (const part of started.reverse().splice(0)) await part.close();
  };
  /** Starts a part as a member of this machine's own cluster. */
  const startPart = async <Part extends RunningProcess>(
    name: string,
    role: MemberRole,
    start: (deps: MemberDeps) => Promise<Part>,
  ): Promise<Part> => {
    let part: Part | undefined;
    const folder = join(dataDir, role);
    const named = { ...deps, log: deps.log.child({ process: name }) };
    const running = await startAsMember(named, identity, { folder, role, authority }, async (known) => {
      part = await start({ ...known, authority });
      return part;
    });
    started.push(running);
    return part!;
  };
  try {
    const { controlAddress, httpAddress } = await startPart('tracker', 'tracker', (known) => {
      followRevocations(known, caDir);
      return createTracker(known, {
        listen: config.trackerListen,
        httpListen: config.trackerHttpListen,
        adminListen: config.trackerAdminListen,
        udpListen: false,
      });
    });
    const scheme = config.insecure ? 'ws' : 'wss';
    const shared = {
      ...config,
      ...identity,
      tracker: [`${scheme}://127.0.0.1:${controlAddress.port}`],
      enroll: [`https://127.0.0.1:${httpAddress.port}`],
      // The tracker lives and dies with the others: they need no way around it.
      discovery: 'tracker' as const,
      bootstrap: [],
      dhtListen: { host: '0.0.0.0', port: 0 },
    };
    await startPart('supernode', 'supernode', (known) =>
      createSupernode(known, {
        ...shared,
        // Once on one machine is enough: the node shares them.
        ...{ containerdRoot: undefined },
        peerListen: config.supernodePeerListen,
        adminListen: config.supernodeAdminListen,
        dataDir: [{ folder: join(dataDir, 'supernode'), weight: 1 }],
        advertise: config.advertise === undefined ? undefined : { host: config.advertise.host },
      }),
    );
    await startPart('daemon', 'node', (known) =>
      createDaemon(known, {
        ...shared,
        dataDir: [{ folder: join(dataDir, 'node'), weight: 1 }],
        upgrade: false,
      }),
    );
    const others = config.insecure
      ? []
      : [`other machines join with the token of: damselfly token create --ca-dir ${caDir}`];
    return {
      ready: { process: 'up', pid: process.pid, parts: started.map((part) => part.ready) },
      summary: [...started.map((part) => part.summary), ...others, 'Ctrl-C stops all of it'].join('\n'),
      stopLimitMs: started.reduce((sum, { stopLimitMs = STOP_MS }) => sum + stopLimitMs, 0),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
