import type { Command } from 'commander';
import { processCommand } from '../../lib/command/process-command.ts';
import { startAsMember } from '../../lib/command/start-as-member.ts';
import { daemonConfig } from './config.ts';
import { createDaemon } from './daemon.ts';
import { withInherited } from './inherited-listeners.ts';

/** `dfget daemon` */
export function daemonCommand(): Command {
  return processCommand({
    name: 'daemon',
    about:
      'Run this machine as a node: a registry mirror for its container runtime, and a peer for the others.',
    schema: daemonConfig,
    examples: `  dfget daemon --tracker wss://tracker.corp:8400 --join-token TOKEN --upstream harbor.corp=https://harbor.corp
  dfget daemon --upstream docker.io=https://registry-1.docker.io --proxy-listen docker.io=127.0.0.1:65011
  dfget daemon --upgrade --config /etc/damselfly/daemon.yaml
`,
    start: (deps, config, sources) =>
      startAsMember(deps, config, { folder: config.dataDir[0]?.folder, role: 'node' }, (known) =>
        createDaemon(known, withInherited(config, process.env, process.pid), {
          handsOver: true,
          sources: { ...sources, config },
        }),
      ),
  });
}
