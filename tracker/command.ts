import type { Command } from 'commander';
import { processCommand } from '../lib/command/process-command.ts';
import { trackerConfig } from './config.ts';
import { createTracker } from './tracker.ts';

/** `damselfly tracker` */
export function trackerCommand(): Command {
  return processCommand({
    name: 'tracker',
    about: 'Tell nodes about one another: who shares which blob, and who should talk to whom.',
    schema: trackerConfig,
    defaultFile: '/etc/damselfly/tracker.yaml',
    examples: `  damselfly tracker
  damselfly tracker --listen 0.0.0.0:8400 --http-listen 0.0.0.0:8401 --udp-listen off
`,
    start: createTracker,
  });
}
