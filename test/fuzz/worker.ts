import { parentPort, workerData } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import { feed } from './feed.ts';
import { createInputs } from './generate.ts';
import { regressionsOf } from './regressions.ts';
import type { WorkerTask } from './run-target.ts';
import type { FuzzTarget } from './target.ts';

// One target in a thread of its own: whatever it does, the thread can be ended, and its memory has a limit.

const { name, progress, root, runs, seconds, seed } = workerData as WorkerTask;
const at = new Int32Array(progress);
const coverage = new Coverage();
await coverage.start();
const { target } = (await import(`./targets/${name}.ts`)) as { readonly target: FuzzTarget };
const inputs = createInputs(target, regressionsOf(name), seed);
const fed = await feed(
  target,
  inputs,
  { runs, seconds },
  { root, coverage, progress: (index) => void Atomics.store(at, 0, index) },
);
const findings = fed.findings.map(({ index, problem }) => ({ index, problem, input: inputs.at(index) }));
parentPort?.postMessage({ ...fed, findings });
