import { parseArgs } from 'node:util';
import { parseCount } from '../../bench/fixtures/command-line.ts';
import { parseBytes, parseDuration } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults/index.ts';
import { FULL, QUICK, QUICK_FAULTS, type SuiteSize } from './sizes.ts';

export const HELP = `Real processes, a real docker-registry and real containerd, each machine in its own network namespace with a link of
100 Mbit/s; while all nodes pull one image, something breaks. Each run is a fresh cluster: a calm pull where the makespan
counts, the struck pull, and a look from outside at what must hold. Needs root, docker-registry, containerd, runc, busybox,
iptables, faketime.

  npm run test:chaos -- --list
  npm run test:chaos -- --fault nodes-killed --seed 7 --json
  npm run test:chaos -- --quick
  npm run test:chaos -- --seeds 5 --record

  --fault NAME        only this one; may be given more than once (all)
  --seed N            the first seed: what is struck, and when (1)
  --seeds N           so many seeds of each fault, all faults with one seed after the other (1)
  --minutes M         begins no run after M minutes; without --seeds it goes on with new seeds until then
  --quick             6 nodes and 64 MiB, ${QUICK_FAULTS.length} faults; no judgement on the makespan, 0.1x more from the registry
  --insecure          without identities, mutual TLS and capabilities, which a cluster has by default
  --image-bytes SIZE  another size of image
  --fresh             does not use what earlier runs of the same code gave
  --record            writes docs/benchmarks/chaos.md and chaos.json
  --json              one JSON object a run on stdout
  --list              the faults and what must hold

What was run is kept in .bench/chaos/ for the same commit: after an interruption it goes on where it stopped.
Exit code 0: all held; 1: something did not; 2: wrong usage; 130: interrupted.
`;

export interface ChaosFlags {
  readonly mode: 'help' | 'list' | 'run';
  readonly faults: readonly Fault[];
  readonly size: SuiteSize;
  /** Whether processes have identities, and speak mutual TLS. */
  readonly secure: boolean;
  readonly firstSeed: number;
  /** Infinity: until the time is up. */
  readonly seeds: number;
  readonly limitMs: number;
  readonly fresh: boolean;
  readonly record: boolean;
  readonly json: boolean;
}

/** @throws CONFIG_INVALID */
export function readFlags(argv: readonly string[]): ChaosFlags {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      fault: { type: 'string', multiple: true, default: [] },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      minutes: { type: 'string' },
      quick: { type: 'boolean', default: false },
      insecure: { type: 'boolean', default: false },
      'image-bytes': { type: 'string' },
      fresh: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const base = values.quick ? QUICK : FULL;
  const imageBytes =
    values['image-bytes'] === undefined ? base.imageBytes : parseBytes(values['image-bytes']);
  const standard = values.quick ? FAULTS.filter(({ name }) => QUICK_FAULTS.includes(name)) : FAULTS;
  const unlimited = values.minutes !== undefined && values.seeds === undefined;
  return {
    mode: values.help ? 'help' : values.list ? 'list' : 'run',
    faults: values.fault.length === 0 ? standard : values.fault.map(faultNamed),
    size: { ...base, imageBytes },
    secure: !values.insecure,
    firstSeed: parseCount('--seed', values.seed, 0),
    seeds: unlimited ? Number.POSITIVE_INFINITY : parseCount('--seeds', values.seeds ?? '1'),
    limitMs: values.minutes === undefined ? Number.POSITIVE_INFINITY : parseDuration(`${values.minutes}m`),
    ...{ fresh: values.fresh, record: values.record, json: values.json },
  };
}

function faultNamed(wanted: string): Fault {
  const fault = FAULTS.find(({ name }) => name === wanted);
  if (fault !== undefined) return fault;
  const names = FAULTS.map(({ name }) => name).join(', ');
  throw new DamselflyError('CONFIG_INVALID', `no fault is called ${wanted}; there are: ${names}`);
}
