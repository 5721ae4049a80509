import { CROWD_RETRY_MS } from '../../lib/swarm/lease-table.ts';
import { begin } from './fault-effects.ts';
import { endOf, type Fault } from './faults.ts';
import type { Violation } from './invariants.ts';
import type { Plan } from './plan.ts';
import { SimClient } from './sim-client.ts';
import { pieceBytesOf } from './small-pieces.ts';
import { identitiesOf, World, type WorldOptions } from './world.ts';

/** After everything that ends is over, every pull is to end within this. */
const PATIENCE_MS = 120_000;
/** So long clients wait at most until somebody steps in, while nothing is wrong: design invariant 8. */
const STALL_MS = 5000;
/** Only a few may step aside at once. Who is told so asks again so much later, and is answered. */
const CROWDED_MS = CROWD_RETRY_MS + 100;
/** Four at a time: in clusters this small nobody is told so more often, unless those who read never give back their turn. */
const MOST_CROWDED = 4;
/** A pull that failed may have failed for something that was over by then: reads are tried again for so long. */
const AFTERMATH_MS = 12_000;
/** After the last pull, so that what was begun is ended. */
const REST_MS = 3000;

export interface Outcome {
  readonly seed: number;
  readonly violation: Violation | undefined;
  /** The same for the same plan, always. */
  readonly hash: string;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly pulls: number;
  readonly attempts: number;
  /** For a byte, while nothing began or ended. */
  readonly longestWaitMs: number;
  /** Bytes that the registry sent, as a multiple of the blobs that were pulled. */
  readonly registryRatio: number;
}

/** Runs a plan to its end, or to the first thing that is wrong. */
export async function simulate(plan: Plan, options: WorldOptions = {}): Promise<Outcome> {
  const world = new World(plan, options, await identitiesOf(plan));
  const onRejection = (reason: unknown): void =>
    world.violate(
      'internal-error',
      `nobody caught: ${reason instanceof Error ? reason.stack : String(reason)}`,
    );
  process.on('unhandledRejection', onRejection);
  try {
    return await run(world);
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}

async function run(world: World): Promise<Outcome> {
  const { clock, plan } = world;
  for (const host of world.hosts) world.start(host);
  const lastEndMs = schedule(world);
  const clients = plan.pulls.map((_, index) => addClient(world, index));
  for (const [index, client] of clients.entries()) {
    void client.run(plan.pulls[index]?.atMs ?? 0).catch((error: unknown) => {
      world.violate('internal-error', `a client failed: ${String(error)}`);
    });
  }
  const lasting = (client: SimClient): boolean => !world.downForGood.has(client.pull.node);
  const over = (): boolean =>
    clock.now() >= lastEndMs && clients.every((client) => client.done || !lasting(client));
  const ended = await world.runUntil(over, lastEndMs + PATIENCE_MS);
  if (!ended && world.violation === undefined) {
    const late = clients.filter((client) => !client.done && lasting(client)).map(describe);
    world.violate('pull-hangs', `not over ${PATIENCE_MS} ms after the last fault: ${late.join('; ')}`);
  }
  if (world.violation === undefined) await world.runUntil(() => false, clock.now() + REST_MS);
  if (world.violation === undefined) await finish(world);
  const pulled = new Set(plan.pulls.map(({ blob }) => blob));
  const bytes = [...pulled].reduce((sum, blob) => sum + (plan.blobs[blob]?.size ?? 0), 0);
  const sent = [...world.registry.sentBytes.values()].reduce((sum, each) => sum + each, 0);
  return {
    seed: plan.seed,
    violation: world.violation,
    hash: world.traceHash,
    steps: world.steps,
    simulatedMs: clock.now(),
    pulls: clients.filter(({ done }) => done).length,
    attempts: clients.reduce((sum, { attempts }) => sum + attempts, 0),
    longestWaitMs: world.longestWaitMs,
    registryRatio: bytes === 0 ? 0 : sent / bytes,
  };
}

/** @returns when the last fault that ends is over */
function schedule(world: World): number {
  const { clock, plan } = world;
  let lastEndMs = 0;
  const start = (fault: Fault): void => {
    world.note('fault', JSON.stringify(fault));
    world.excuses.note('calm');
    const lasting = fault.forMs === undefined;
    if (!lasting) world.excuses.begin('calm');
    const end = begin(world, fault);
    if (lasting) return;
    clock.after(fault.forMs, () => {
      world.note('fault', `over: ${fault.kind}`);
      world.excuses.end('calm');
      end();
    });
  };
  for (const fault of plan.faults) {
    const end = endOf(fault);
    lastEndMs = Math.max(lastEndMs, Number.isFinite(end) ? end : fault.atMs);
    if (['kill', 'power', 'stop'].includes(fault.kind) && !Number.isFinite(end) && 'who' in fault) {
      world.downForGood.add(fault.who);
    }
    clock.after(fault.atMs, () => start(fault));
  }
  return lastEndMs;
}

function addClient(world: World, index: number): SimClient {
  const { clock, plan } = world;
  const { blob, node, pauseMs = 0 } = plan.pulls[index] ?? { blob: 0, node: '' };
  const { bytes: truth, digest } = world.blobs[blob] ?? { bytes: new Uint8Array(), digest: '' as never };
  // Whoever steps in still has to read a piece, behind a redirect.
  const { bytesPerSecond, latencyMs } = plan.registry;
  const pieceBytes = Math.min(truth.length, pieceBytesOf(truth.length, plan.pieceBytes));
  const stallMs = STALL_MS + (pieceBytes / bytesPerSecond) * 1000 + 5 * latencyMs + 100;
  const who = `client ${index} of ${node}`;
  return new SimClient({ node, digest, truth, pauseMs }, clock, {
    daemon: () => {
      const running = world.peers.get(node)?.running;
      return running?.stopping === true ? undefined : running;
    },
    mayLie: () => world.mayLie(digest),
    note: (what) => world.note(who, what),
    wrong: (what) => world.violate('wrong-bytes', `${who}: ${what} of ${digest}`),
    failed: (problem, sinceMs) => {
      // Wrong pieces stay in the swarm until somebody has the whole blob: that pulls end all the same is checked too.
      if (world.mayLie(digest)) return;
      const fromMs = sinceMs - AFTERMATH_MS;
      if (!world.registryServes(node, fromMs) || world.excuses.since(`disk of ${node}`, fromMs)) return;
      world.violate('pull-failed', `${who}: ${problem}`);
    },
    waited: (ms, sinceMs) => {
      if (world.excuses.since('calm', sinceMs)) return;
      world.longestWaitMs = Math.max(world.longestWaitMs, ms);
      const crowdedMs = Math.min(MOST_CROWDED, world.crowded(node, sinceMs)) * CROWDED_MS;
      if (!world.checksStalls || ms <= stallMs + crowdedMs) return;
      world.violate('silent-stall', `${who} waited ${Math.round(ms)} ms for a byte of ${digest}`);
    },
  });
}

function describe({ attempts, pull, receivedBytes }: SimClient): string {
  return `${pull.node} has ${receivedBytes} of ${pull.truth.length} bytes of ${pull.digest} after ${attempts} attempts`;
}

/** Bytes that a registry may send more than once where nothing that is drawn costs it anything: none. */
const ONCE = 1;
/** In so many seconds a node can receive all blobs: slower ones lose patience, and are right to. */
const FAST_SECONDS = 0.6;
/** And in so many the registry sends them: what is left of that patience is for passing them on. */
const READ_SECONDS = 2;

/** With a healthy supernode and nothing else wrong, each byte is read from the registry once. */
function checkReadOnce({ plan, registry, violate }: World): void {
  const bytes = plan.blobs.reduce((sum, { size }) => sum + size, 0);
  const { network, registry: source } = plan;
  const slow = bytes / network.bytesPerSecond > FAST_SECONDS || bytes / source.bytesPerSecond > READ_SECONDS;
  if (plan.faults.length > 0 || plan.supernodes === 0 || plan.storeMaxBytes !== undefined || slow) return;
  for (const [digest, sent] of registry.sentBytes) {
    const size = registry.sizeOf(digest);
    if (sent > ONCE * size) {
      violate('read-twice', `the registry sent ${sent} bytes of ${digest}, which has ${size}`);
    }
  }
}

/** What can be seen only when nothing happens any more. */
async function finish(world: World): Promise<void> {
  checkReadOnce(world);
  for (const peer of world.peers.values()) {
    if (peer.running === undefined) continue;
    const { pool, store } = peer.running.deps;
    const incomplete = store.list().filter(({ complete }) => !complete).length;
    if (incomplete === 0 && pool.usedBytes > 0) {
      world.violate('memory', `${peer.name} never gave back ${pool.usedBytes} bytes of its buffers`);
    }
    world.audit(peer, peer.recordsFail ? 'nothing' : 'all');
  }
  await world.runUntil(() => true, world.clock.now());
}
