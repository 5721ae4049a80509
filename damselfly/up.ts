import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { daemonConfig } from '../dfget/daemon/config.ts';
import { createDaemon } from '../dfget/daemon/daemon.ts';
import { type ProcessDeps, processCommand } from '../lib/command/process-command.ts';
import { defaultDataDir } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { type RunningProcess, STOP_MS } from '../lib/runtime/system-process.ts';
import { supernodeConfig } from '../supernode/config.ts';
import { createSupernode } from '../supernode/supernode.ts';
import { trackerConfig } from '../tracker/config.ts';
import { createTracker } from '../tracker/tracker.ts';

const node = daemonConfig.shape;
const supernode = supernodeConfig.shape;
const tracker = trackerConfig.shape;

/** Settings of `damselfly up`: those of the three processes that differ on one machine, under names that tell them apart. */
export const upConfig = z.object({
  upstream: node.upstream,
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
  dataDir: setting(z.string().min(1).default(defaultDataDir('')), {
    argument: '<folder>',
    help: `everything that is kept (default: ${defaultDataDir('')})`,
  }),
  storeMax: node.storeMax,
  storeHigh: node.storeHigh,
  storeLow: node.storeLow,
  storeTtl: node.storeTtl,
  scrubRate: node.scrubRate,
  bufferMemory: node.bufferMemory,
  uploadRate: node.uploadRate,
  downloadRate: node.downloadRate,
  registryRate: node.registryRate,
  maxConnections: node.maxConnections,
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
      'Everything on this one machine: tracker, supernode and node. Other machines join with "dfget daemon --tracker".',
    schema: upConfig,
    defaultFile: '/etc/damselfly/up.yaml',
    examples: `  damselfly up --upstream harbor.corp=https://harbor.corp
  damselfly up --upstream docker.io=https://registry-1.docker.io --data-dir /srv/damselfly
`,
    start: startAll,
  });
}

async function startAll(deps: ProcessDeps, config: z.output<typeof upConfig>): Promise<RunningProcess> {
  const { dataDir } = config;
  const started: RunningProcess[] = [];
  const close = async (): Promise<void> => {
    for (const part of started.reverse().splice(0)) await part.close();
  };
  try {
    const trackerPart = await createTracker(
      { ...deps, log: deps.log.child({ process: 'tracker' }) },
      {
        listen: config.trackerListen,
        httpListen: config.trackerHttpListen,
        udpListen: false,
      },
    );
    started.push(trackerPart);
    const shared = { ...config, tracker: [`ws://127.0.0.1:${trackerPart.controlAddress.port}`] };
    started.push(
      await createSupernode(
        { ...deps, log: deps.log.child({ process: 'supernode' }) },
        {
          ...shared,
          peerListen: config.supernodePeerListen,
          adminListen: config.supernodeAdminListen,
          dataDir: [{ folder: join(dataDir, 'supernode'), weight: 1 }],
          advertise: config.advertise === undefined ? undefined : { host: config.advertise.host },
        },
      ),
    );
    started.push(
      await createDaemon(
        { ...deps, log: deps.log.child({ process: 'daemon' }) },
        {
          ...shared,
          dataDir: [{ folder: join(dataDir, 'node'), weight: 1 }],
          prefetch: 'off',
          upgrade: false,
        },
      ),
    );
    return {
      ready: { process: 'up', pid: process.pid, parts: started.map((part) => part.ready) },
      summary: [...started.map((part) => part.summary), 'Ctrl-C stops all of it'].join('\n'),
      stopLimitMs: started.reduce((sum, { stopLimitMs = STOP_MS }) => sum + stopLimitMs, 0),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
