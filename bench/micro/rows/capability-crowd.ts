import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PeerInfo } from '../../../lib/core/node.ts';
import { startCluster } from '../../fixtures/cluster.ts';
import { createImage } from '../../fixtures/image.ts';
import { pushImage } from '../../fixtures/push-image.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { startTokenRegistry } from '../../fixtures/token-registry.ts';
import { usageOf } from '../../fixtures/usage.ts';
import type { CrowdOrder, CrowdReport } from '../capability-crowd.ts';
import { type Figure, median, type Row } from '../row.ts';
import { type Part, startPart } from '../transfer/part.ts';

/** More could not be played beside two supernodes and a registry on four cores: all would wait for the players. */
const NODES = 2000;
const SUPERNODES = 2;
const PROCESSES = 3;
const REPOSITORY = 'team/app';
const UPSTREAM = 'registry.bench';
const MIB = 1024 * 1024;
/** A node asks for 20 s; then it reads from the registry, by turns. One question a supernode: they answer all the others. */
const TARGETS = { seconds: 20, without: 0, questions: SUPERNODES, rssMib: 300 };

interface Run {
  readonly seconds: number;
  readonly medianSeconds: number;
  readonly without: number;
  readonly questions: number;
  readonly rssMib: number;
  readonly sentAway: number;
  readonly unreached: number;
  /** Of a supernode for each node. */
  readonly cpuMs: number;
}

/** Everybody wants one private image at the same moment, and the registry must not notice. */
export const capabilityCrowdRow: Row = {
  name: 'capability-crowd',
  about: `seconds until ${NODES} nodes, each with a certificate of its own, have the right to one private image, all of which they ask ${SUPERNODES} supernodes for at once`,
  needs: ['docker-registry'],
  async measure({ runs: count, say, signal }) {
    const runs: Run[] = [];
    for (let run = 0; run < count; run++) {
      signal.throwIfAborted();
      runs.push(await oneRun(run, signal));
      const { cpuMs, questions, seconds, sentAway, unreached, without } = runs.at(-1)!;
      say(
        `run ${run + 1} of ${count}: ${seconds.toFixed(1)} s, ${without} without, ${questions} questions, ` +
          `${sentAway} sent away, ${unreached} unreached, ${cpuMs.toFixed(1)} ms CPU each`,
      );
    }
    return figuresOf(runs);
  },
};

async function oneRun(run: number, signal: AbortSignal): Promise<Run> {
  await using made = new AsyncDisposableStack();
  const folder = made.use(await tempFolder('capability-crowd')).path;
  const registry = await startTokenRegistry(join(folder, 'registry'), signal);
  made.defer(() => registry.stop());
  const image = await createImage({
    ...{ folder: join(folder, 'image'), tag: 'v1', seed: `crowd ${run}` },
    ...{ totalBytes: 3 * MIB, layers: 3 },
  });
  const authorization = registry.bearer(REPOSITORY, ['pull', 'push']);
  await pushImage(image, { registry: registry.url, repository: REPOSITORY, authorization });
  const upstreams = { [UPSTREAM]: registry.url };
  const cluster = await startCluster({ folder, nodes: 0, supernodes: SUPERNODES, upstreams, signal });
  made.defer(() => cluster.stop());
  const caDir = cluster.caDir ?? '';
  const order = {
    authority: {
      certificate: await readFile(join(caDir, 'ca.crt'), 'utf8'),
      key: await readFile(join(caDir, 'ca.key'), 'utf8'),
    },
    supernodes: cluster.supernodes.map(({ ready }, index) => peerAt(ready.peer, index)),
    question: {
      ...{ upstream: UPSTREAM, repository: REPOSITORY, manifest: image.manifest.digest },
      authorization: registry.bearer(REPOSITORY, ['pull']),
    },
    blob: image.layers[0]!.digest,
  };
  const crowds: Part[] = [];
  for (let index = 0; index < PROCESSES; index++) crowds.push(made.use(startPart('crowd', signal)));
  await Promise.all(
    crowds.map((crowd, index) => {
      const [first, end] = [shareOf(index), shareOf(index + 1)];
      return crowd.ask('prepare', { ...order, first, count: end - first } satisfies CrowdOrder);
    }),
  );
  const pids = cluster.supernodes.map(({ pid }) => pid);
  const asked = await registry.counters();
  const before = await usageOf(pids);
  const reports = await Promise.all(crowds.map((crowd) => crowd.ask<CrowdReport>('ask')));
  const after = await usageOf(pids);
  const { requests } = await registry.counters();
  const seconds = reports.flatMap((report) => report.seconds);
  const sum = (field: 'given' | 'sentAway' | 'unreached'): number =>
    reports.reduce((total, report) => total + report[field], 0);
  return {
    seconds: Math.max(...seconds),
    medianSeconds: median(seconds),
    without: NODES - sum('given'),
    questions: requests - asked.requests,
    rssMib: after.peakRssBytes / MIB,
    sentAway: sum('sentAway'),
    unreached: sum('unreached'),
    cpuMs: ((after.cpuSeconds - before.cpuSeconds) / NODES) * 1000,
  };
}

/** Number of the first node of a process. */
function shareOf(process: number): number {
  return Math.floor((process * NODES) / PROCESSES);
}

/** Its id only ranks it. */
function peerAt(address: string, index: number): PeerInfo {
  const at = address.lastIndexOf(':');
  const id = (index + 1).toString(16).repeat(40);
  const place = { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
  return { id, role: 'supernode', ...place, zone: '' };
}

function figuresOf(runs: readonly Run[]): readonly Figure[] {
  const of = (field: keyof Run): readonly number[] => runs.map((run) => run[field]);
  const middle = (field: keyof Run): number => median(of(field));
  const figure = (suffix: string, unit: string, field: keyof typeof TARGETS): Figure => ({
    row: `capability-crowd${suffix}`,
    ...{ value: middle(field), unit, target: TARGETS[field], better: 'lower', runs: of(field) },
  });
  const note =
    `half of them after ${middle('medianSeconds').toFixed(1)} s; supernodes sent ${middle('sentAway')} away to come again, ` +
    `${middle('unreached')} did not reach one; a node cost them ${middle('cpuMs').toFixed(1)} ms of CPU, ` +
    `so that a core answers ${Math.round(1000 / middle('cpuMs'))} a second; ` +
    'crowd, supernodes and registry share the machine';
  return [
    { ...figure('', 's', 'seconds'), note },
    figure('-without', 'nodes', 'without'),
    { ...figure('-questions', 'requests', 'questions'), note: 'that the registry got' },
    figure('-rss-mib', 'MiB', 'rssMib'),
  ];
}
