import type { Command } from 'commander';
import { processCommand } from '../lib/command/process-command.ts';
import { startAsMember } from '../lib/command/start-as-member.ts';
import { supernodeConfig } from './config.ts';
import { createSupernode } from './supernode.ts';

/** `damselfly supernode` */
export function supernodeCommand(): Command {
  return processCommand({
    name: 'supernode',
    about: 'Read each blob from its registry once, and seed it to the nodes.',
    schema: supernodeConfig,
    examples: `  damselfly supernode --tracker wss://tracker.corp:8400 --join-token TOKEN --upstream harbor.corp=https://harbor.corp
  damselfly supernode --tracker wss://tracker.corp:8400 --zone eu-1 --store-max 500GiB --config supernode.yaml
`,
    start: (deps, config, sources) =>
      startAsMember(deps, config, { folder: config.dataDir[0]?.folder, role: 'supernode' }, (known) =>
        createSupernode(known, config, sources),
      ),
  });
}
