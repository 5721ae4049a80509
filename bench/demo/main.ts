import { parseArgs } from 'node:util';
import { parseBytes } from '../../lib/config/units.ts';
import { exitCodeOf, interruptSignal, parseCount } from '../fixtures/command-line.ts';
import { describeDemo } from './describe.ts';
import { isGood, runDemo } from './run-demo.ts';

const HELP = `A whole Damselfly cluster on this machine, for a minute: one registry, one tracker, two supernodes and six nodes
pull the same image at the same time, and the registry sends it once.

  npm run demo
  npm run demo -- --image-bytes 1GiB --json

  --image-bytes BYTES  size of the generated image (200MiB), in 4 layers
  --nodes N            node daemons (6)
  --json               one JSON object instead of the table

Exit code 0: every node has the image, all digests agree, and the registry sent it once; 1: not so; 2: wrong usage.
`;

const signal = interruptSignal();
try {
  const { values } = parseArgs({
    options: {
      'image-bytes': { type: 'string', default: '200MiB' },
      nodes: { type: 'string', default: '6' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
  } else {
    const report = await runDemo({
      imageBytes: parseBytes(values['image-bytes']),
      nodes: parseCount('--nodes', values.nodes),
      supernodes: 2,
      layers: 4,
      signal,
    });
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : describeDemo(report));
    process.exitCode = isGood(report) ? 0 : 1;
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}
