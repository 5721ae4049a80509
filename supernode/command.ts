import type { Command } from 'commander';
import { processCommand } from '../lib/command/process-command.ts';
import { supernodeConfig } from './config.ts';
import { createSupernode } from './supernode.ts';

/** `damselfly supernode` */
export function supernodeCommand(): Command {
  return processCommand({
    name: 'supernode',
    about: 'Read each blob from its registry once, and seed it to the nodes.',
    schema: supernodeConfig,
    defaultFile: '/etc/damselfly/supernode.yaml',
    examples: `  damselfly supernode --tracker ws://tracker.corp:8400 --upstream harbor.corp=https://harbor.corp
  damselfly supernode --tracker ws://tracker.corp:8400 --zone eu-1 --store-max 500GiB --config supernode.yaml
`,
    start: createSupernode,
  });
}
