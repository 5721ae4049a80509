import { setFlagsFromString } from 'node:v8';
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
    start: (deps, config) => {
      keepYoungHeapSmall();
      return createTracker(deps, config);
    },
  });
}

/**
 * V8 would let the space for new objects grow to 128 MiB while thousands of members connect, and never give it back.
 * From here on it stays as large as it is, some 32 MiB.
 */
function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
