import type { Command } from 'commander';
import { processCommand } from '../../lib/command/process-command.ts';
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
    defaultFile: '/etc/damselfly/daemon.yaml',
    examples: `  dfget daemon --tracker ws://tracker.corp:8400 --upstream harbor.corp=https://harbor.corp
  dfget daemon --upstream docker.io=https://registry-1.docker.io --proxy-listen docker.io=127.0.0.1:65011
  dfget daemon --upgrade --config /etc/damselfly/daemon.yaml
`,
    start: (deps, config, sources) =>
      createDaemon(deps, withInherited(config, process.env, process.pid), {
        handsOver: true,
        sources: { ...sources, config },
      }),
  });
}
