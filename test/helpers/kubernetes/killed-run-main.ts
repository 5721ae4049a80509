import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createNetwork } from '../../../bench/fixtures/network.ts';
import { makePodsFolder } from './left-behind.ts';

// A run that has its folder and its network, and waits to be killed.
const folder = await makePodsFolder();
await mkdir(join(folder, 'podman'));
await createNetwork({ nodes: 1, bytesPerSecond: 1_000_000 });
process.stdout.write(`${JSON.stringify({ process: 'killed-run', folder })}\n`);
setInterval(() => {}, 60_000);
