/**
 * Nanoseconds and allocated bytes of the decisions of a node, a supernode and a tracker:
 *
 *     node bench/micro/decisions.ts [--json]
 *
 * One node with 10 neighbours, and one supernode with 90, go through blobs of 768 pieces in the mix of events of a
 * real pull; 10,000 nodes announce one blob to a tracker. Everything is in the caches of the CPU, unlike in a process
 * that does other work between two events. The time of an event has some 5 to 40 ns of clock in it.
 */
import { parseArgs } from 'node:util';
import { createRng } from '../../lib/runtime/rng.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { type Allocation, allocationOf, Meter } from './decisions/meter.ts';
import { PEER_EVENTS, PeerDrive } from './decisions/peer-drive.ts';
import { SEED_EVENTS, SeedDrive } from './decisions/seed-drive.ts';

const PIECES = 768;
const WARM_UP_BLOBS = 20;
const BLOBS = 100;
const TRACKER_NODES = 10_000;
const TRACKER_ROUNDS = 5;
const BLOB = 'sha256:blob';

interface CoreResult {
  readonly core: string;
  /** Kind -> mean of an event. */
  readonly nsPerEvent: Readonly<Record<string, number>>;
  /** All events together; every event is one decision or several. */
  readonly usPerPiece: number;
  readonly bytesPerPiece: number;
  /** While {@link Allocation} was measured. */
  readonly collections: number;
}

interface Drive {
  prepare(): void;
  run(): void;
}

async function measure(core: string, drive: Drive, meter: Meter): Promise<CoreResult> {
  const blobs = (count: number): void => {
    for (let blob = 0; blob < count; blob++) {
      drive.prepare();
      drive.run();
    }
  };
  blobs(WARM_UP_BLOBS);
  meter.reset();
  blobs(BLOBS);
  const nsPerEvent = meter.nanoseconds();
  const usPerPiece = round((meter.totalMs * 1000) / (BLOBS * PIECES));
  meter.timed = false;
  blobs(WARM_UP_BLOBS);
  const { bytes, collections }: Allocation = await allocationOf(() => {
    drive.prepare();
    return () => drive.run();
  });
  return { core, nsPerEvent, usPerPiece, bytesPerPiece: round(bytes / PIECES), collections };
}

/** Microseconds an announcement: the first one of each node, and one of a node that is known. */
function trackerTimes(): { readonly firstUs: number; readonly againUs: number } {
  const times = { first: 0, again: 0 };
  for (let i = 0; i < TRACKER_ROUNDS; i++) {
    const tracker = new TrackerCore({}, createRng(i));
    const info = { host: '10.0.0.1', port: 1, zone: '' };
    tracker.join({ id: 'supernode', role: 'supernode', ...info }, 0);
    const ids = Array.from({ length: TRACKER_NODES }, (_, node) => `node-${node}`);
    for (const id of ids) tracker.join({ id, role: 'node', ...info }, 0);
    const startedMs = performance.now();
    for (const id of ids) tracker.announce(id, BLOB, { have: 'none' }, 0);
    const firstMs = performance.now();
    for (const id of ids) tracker.announce(id, BLOB, { have: 'some' }, 0);
    times.first += firstMs - startedMs;
    times.again += performance.now() - firstMs;
  }
  const us = (ms: number): number => round((ms * 1000) / (TRACKER_NODES * TRACKER_ROUNDS));
  return { firstUs: us(times.first), againUs: us(times.again) };
}

function round(value: number): number {
  return Number(value.toFixed(2));
}

function print({ core, nsPerEvent, usPerPiece, bytesPerPiece, collections }: CoreResult): void {
  process.stdout.write(`${core}\n`);
  for (const [event, ns] of Object.entries(nsPerEvent)) {
    process.stdout.write(`  ${event.padEnd(12)}${String(ns).padStart(6)} ns\n`);
  }
  process.stdout.write(
    `  a piece     ${String(usPerPiece).padStart(6)} us, ${bytesPerPiece} bytes allocated`,
  );
  process.stdout.write(`, ${collections} garbage collections\n`);
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const peerMeter = new Meter(PEER_EVENTS);
const seedMeter = new Meter(SEED_EVENTS);
const cores = [
  await measure('PeerCore', new PeerDrive(PIECES, peerMeter), peerMeter),
  await measure('SeedCore', new SeedDrive(PIECES, seedMeter), seedMeter),
];
const tracker = trackerTimes();
if (values.json) process.stdout.write(`${JSON.stringify({ pieces: PIECES, cores, tracker })}\n`);
else {
  for (const core of cores) print(core);
  process.stdout.write(`TrackerCore.announce\n  first       ${String(tracker.firstUs).padStart(6)} us\n`);
  process.stdout.write(`  again       ${String(tracker.againUs).padStart(6)} us\n`);
}
