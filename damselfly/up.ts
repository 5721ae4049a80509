import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createDaemon } from '../dfget/daemon/daemon.ts';
import { type ProcessDeps, processCommand } from '../lib/command/process-command.ts';
import { startAsMember } from '../lib/command/start-as-member.ts';
import type { ClusterSettings } from '../lib/core/cluster-settings.ts';
import { createLog } from '../lib/observe/log.ts';
import { type RunningProcess, STOP_MS } from '../lib/runtime/system-process.ts';
import { Credentials } from '../lib/security/credentials.ts';
import type { MemberRole } from '../lib/security/identity.ts';
import type { MovingAuthority } from '../lib/security/moving-authority.ts';
import { signSettings as signSettingsAs } from '../lib/security/signed-settings.ts';
import { ensureAuthority } from '../lib/security/system/authority-folder.ts';
import { keysFromAuthority } from '../lib/security/system/credential-sources.ts';
import { createSupernode } from '../supernode/supernode.ts';
import { endingWith, followAuthority } from '../tracker/follow-authority.ts';
import { openJobRecords } from '../tracker/preheat/open-job-records.ts';
import { createTracker } from '../tracker/tracker.ts';
import { daemonOf, supernodeOf, type UpConfig, upConfig } from './up-config.ts';

/** `damselfly up` */
export function upCommand(): Command {
  return processCommand({
    name: 'up',
    about:
      'Everything on this one machine: tracker, supernode and node, with an authority of their own. Other machines join with "dfget daemon --tracker --join-token".',
    schema: upConfig,
    examples: `  damselfly up --upstream harbor.corp=https://harbor.corp
  damselfly up --upstream docker.io=https://registry-1.docker.io --data-dir /srv/damselfly
`,
    start: startAll,
  });
}

interface MemberDeps extends ProcessDeps {
  readonly credentials: Credentials | undefined;
  readonly authority: MovingAuthority | undefined;
}

async function startAll(deps: ProcessDeps, config: UpConfig): Promise<RunningProcess> {
  const { dataDir, insecure, zone, zoneCidr, zoneFile } = config;
  const caDir = join(dataDir, 'ca');
  const authority = insecure ? undefined : await ensureAuthority(caDir, deps.wallClockMs);
  const identity = { insecure, zone, zoneCidr, zoneFile, enroll: [], tracker: [] };
  const setter = authority && (await trackerOf(deps, authority));
  const started: RunningProcess[] = [];
  const close = async (): Promise<void> => {
    for (const part of started.reverse().splice(0)) await part.close();
    setter?.close();
  };
  /** Starts a part as a member of this machine's own cluster. */
  const startPart = async <Part extends RunningProcess>(
    name: string,
    role: MemberRole,
    start: (deps: MemberDeps) => Promise<Part>,
  ): Promise<Part> => {
    let part: Part | undefined;
    const folder = join(dataDir, role);
    const named = { ...deps, log: createLog(name, config.logLevel) };
    const running = await startAsMember(named, identity, { folder, role, authority }, async (known) => {
      part = await start({ ...known, authority });
      return part;
    });
    started.push(running);
    return part!;
  };
  try {
    const { controlAddress, httpAddress } = await startPart('tracker', 'tracker', async (known) => {
      const records = await openJobRecords(known.log, join(dataDir, 'tracker'));
      const tracker = await createTracker(
        { ...known, records },
        {
          listen: config.trackerListen,
          httpListen: config.trackerHttpListen,
          adminListen: config.trackerAdminListen,
          adminTokenFile: config.adminTokenFile,
          btUdp: config.btUdp,
          // In URLs of its notifications a registry has the name that we reach it by.
          preheatRegistry: config.upstream.map(({ name, url }) => ({ name, alias: URL.parse(url)?.host })),
          preheatNodes: config.preheatNodes,
          apiKeyFile: config.apiKeyFile,
          liveToken: config.liveToken,
        },
      );
      const { credentials } = known;
      if (authority === undefined || credentials === undefined) return tracker;
      return endingWith(tracker, followAuthority(deps, { authority, caDir, credentials }));
    });
    const scheme = config.insecure ? 'ws' : 'wss';
    // Others reach it by the name that is in its certificate.
    const name = config.advertise?.host ?? hostname();
    const cluster = {
      tracker: `${scheme}://127.0.0.1:${controlAddress.port}`,
      enroll: `https://127.0.0.1:${httpAddress.port}`,
      announce: `${config.insecure ? 'http' : 'https'}://${name}:${httpAddress.port}`,
    };
    await startPart('supernode', 'supernode', (known) =>
      createSupernode(known, supernodeOf(config, cluster)),
    );
    const signSettings = setter && ((settings: ClusterSettings) => signSettingsAs(setter, settings));
    await startPart('daemon', 'node', (known) =>
      createDaemon({ ...known, signSettings }, daemonOf(config, cluster)),
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

/** In whose name the node sets something for all: the authority is on this machine. */
async function trackerOf(deps: ProcessDeps, authority: MovingAuthority): Promise<Credentials> {
  const { keys, next } = await keysFromAuthority(authority, { role: 'tracker', zone: '' }, deps.wallClockMs);
  return new Credentials(deps, keys, next);
}
