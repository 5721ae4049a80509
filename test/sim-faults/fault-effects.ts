import { blobPath, ingestPath } from '../../lib/store/path.ts';
import type { BlobSummary } from '../../lib/store/store.ts';
import { pairKey } from '../../lib/transfer/memory/memory-medium.ts';
import type { Fault } from './faults.ts';
import type { SimPeer } from './sim-peer.ts';
import type { World } from './world.ts';

/** A process that was asked to end and does not is killed, as systemd does, only sooner. */
const STOP_PATIENCE_MS = 10_000;
/** Share of the sectors that were written and not synced that reach the disk before the power goes. */
const SURVIVING = [0, 0.5, 0.95, 1];
const MOST_BATCHES = 40;
/** And more than clocks may differ by. */
const CAPABILITY_LIFE_MS = 10 * 60_000;

/** Lets the fault begin. @returns what ends it */
export function begin(world: World, fault: Fault): () => void {
  const { excuses, network, control, peers, registry } = world;
  switch (fault.kind) {
    case 'kill':
    case 'rot-while-down':
    case 'power':
    case 'stop':
      return beginDown(world, fault.who, fault.kind);
    case 'freeze':
      return beginFreeze(world, fault.who);
    case 'partition': {
      const others = world.hosts.filter((host) => !fault.side.includes(host));
      const pairs = fault.side.flatMap((host) => others.map((other) => pairKey(host, other)));
      for (const pair of pairs) world.cuts.add(pair);
      const ends = fault.registryToo ? fault.side.map((host) => beginNoRegistry(world, host)) : [];
      return () => {
        for (const pair of pairs) world.cuts.remove(pair);
        for (const end of ends) end();
      };
    }
    case 'no-registry':
      return beginNoRegistry(world, fault.who);
    case 'bad-way': {
      const { delayMs, loss, share, who } = fault;
      const { rates } = world;
      const change = (trouble: { delayMs: number; loss: number } | undefined, rateShare: number): void => {
        for (const each of [network, control]) {
          for (const other of world.hosts) if (other !== who) each.trouble(who, other, trouble);
        }
        network.setRates(who, {
          upBytesPerSecond: rates.upBytesPerSecond * rateShare,
          downBytesPerSecond: rates.downBytesPerSecond * rateShare,
        });
      };
      change({ delayMs, loss }, share);
      return () => change(undefined, 1);
    }
    case 'corrupt':
    case 'stall': {
      const key = `${fault.kind} ${fault.who}`;
      const peer = peers.get(fault.who);
      if (fault.kind === 'corrupt' && peer !== undefined) world.corrupt.add(peer.id);
      world.misdeeds.add(key);
      return () => {
        world.misdeeds.remove(key);
        if (peer?.process !== undefined) comesBack(world, fault.who);
      };
    }
    case 'disk-full':
    case 'disk-fails':
    case 'disk-slow':
      return beginDisk(world, fault);
    case 'changed-file': {
      const peer = peers.get(fault.who);
      // While a process writes to a file itself, its stamp cannot tell that somebody else does.
      const whole = peer?.summaries.filter(({ complete }) => complete) ?? [];
      if (peer !== undefined) change(peer, whole, fault.share);
      return () => {};
    }
    case 'wall-clock': {
      const peer = peers.get(fault.who);
      if (peer === undefined) return () => {};
      peer.skewMs += fault.skewMs;
      return () => {
        peer.skewMs -= fault.skewMs;
      };
    }
    case 'registry-down':
      return during(excuses, () => registry.turn({ down: true }));
    case 'registry-lies':
      return during(excuses, () => registry.turn({ lieEveryBytes: fault.everyBytes }));
    case 'registry-busy':
      return during(excuses, () => registry.turn({ busySeconds: fault.retrySeconds }));
    case 'registry-errors':
      return registry.turn({ errorEvery: fault.every });
    case 'registry-no-ranges':
      return registry.turn({ noRanges: true });
    case 'registry-cuts':
      return registry.turn({ cutAfterBytes: fault.afterBytes });
    case 'registry-stalls':
      return registry.turn({ stallMs: fault.stallMs });
    case 'registry-mints-nothing':
      return registry.turn({ refusesHeads: true });
    case 'capabilities-expire':
      world.passedMs += CAPABILITY_LIFE_MS;
      return () => {};
    case 'registry-slow':
      return registry.turn({ bytesPerSecond: fault.bytesPerSecond });
  }
}

/** The registry itself is what is wrong: pulls may fail. */
function during(excuses: World['excuses'], start: () => () => void): () => void {
  excuses.begin('registry');
  const end = start();
  return () => {
    end();
    excuses.end('registry');
  };
}

function beginNoRegistry(world: World, host: string): () => void {
  world.registryCuts.add(host);
  world.excuses.begin(`registry of ${host}`);
  return () => {
    world.registryCuts.remove(host);
    world.excuses.end(`registry of ${host}`);
  };
}

function beginDown(
  world: World,
  host: string,
  how: 'kill' | 'power' | 'stop' | 'rot-while-down',
): () => void {
  const peer = world.peers.get(host);
  world.downs.add(host);
  let dark = false;
  if (how === 'stop' && peer?.running !== undefined) {
    const { running } = peer;
    running.stopping = true;
    const end = (): void => {
      if (peer.running === running) crash(world, host);
    };
    void running.stop().then(end, (error: unknown) => {
      // A disk that takes no records takes none at the end either: the process says so and is gone.
      if (peer.recordsFail) end();
      else world.violate('internal-error', `${host} could not stop: ${String(error)}`);
    });
    world.clock.after(STOP_PATIENCE_MS, end);
  } else if (how === 'power' && peer !== undefined) {
    dark = true;
    world.cutOff(host);
    powerCut(world, peer);
  } else {
    const before = peer?.summaries ?? [];
    crash(world, host);
    if (how === 'rot-while-down' && peer !== undefined) rot(world, peer, before);
  }
  return () => {
    if (peer?.running?.stopping === true) crash(world, host);
    if (dark) {
      // Whoever still believes in an old connection hears from the new kernel that there is none.
      world.network.crash(host);
      world.control.crash(host);
      world.joinAgain(host);
    }
    world.downs.remove(host);
  };
}

/** The process on the host is gone, and its kernel says so to everybody. */
function crash(world: World, host: string): void {
  const peer = world.peers.get(host);
  const wasUp = peer?.process !== undefined;
  const before = peer?.summaries;
  world.trackers.get(host)?.kill();
  peer?.kill();
  world.network.crash(host);
  world.control.crash(host);
  world.network.thaw(host);
  world.control.thaw(host);
  if (peer === undefined || !wasUp) return;
  peer.disk = peer.disk.crash();
  peer.keyValue = peer.keyValue.crash(Number.POSITIVE_INFINITY);
  world.audit(peer, peer.recordsFail ? 'nothing' : 'all', before);
}

/** Nothing more comes from the machine, and what its disk had not synced may be lost. */
function powerCut(world: World, peer: SimPeer): void {
  const before = peer.summaries;
  const { rng } = peer;
  peer.kill();
  world.network.thaw(peer.name);
  world.control.thaw(peer.name);
  const survives = SURVIVING[rng.int(SURVIVING.length)] ?? 0;
  peer.disk = peer.disk.crash(() => rng.float() < survives);
  peer.keyValue = peer.keyValue.crash(rng.float() < 0.3 ? 0 : rng.int(MOST_BATCHES));
  peer.lostPower = true;
  world.audit(peer, 'complete', before);
}

function rot(world: World, peer: SimPeer, before: readonly BlobSummary[]): void {
  peer.tampered = true;
  for (let byte = 0; byte < 3; byte++) change(peer, before, peer.rng.float(), 'rot');
  world.audit(peer, 'nothing', before);
}

/** Changes a byte of one of the machine's blobs. */
function change(peer: SimPeer, blobs: readonly BlobSummary[], share: number, how?: 'rot'): void {
  const total = blobs.reduce((sum, { info }) => sum + info.size, 0);
  let at = Math.floor(share * total);
  for (const { info, complete } of blobs) {
    if (at < info.size) {
      const path = (complete ? blobPath : ingestPath)(peer.folder, info.digest);
      if (!peer.disk.has(path)) return;
      peer.tampered = true;
      peer.disk.flip(path, at, how);
      return;
    }
    at -= info.size;
  }
}

function beginFreeze(world: World, host: string): () => void {
  const process = (world.peers.get(host) ?? world.trackers.get(host))?.process;
  if (process === undefined || process.frozen) return () => {};
  process.freeze();
  world.network.freeze(host);
  world.control.freeze(host);
  return () => {
    if (!process.alive) return;
    world.network.thaw(host);
    world.control.thaw(host);
    process.thaw();
  };
}

function beginDisk(
  world: World,
  fault: Fault & { readonly kind: 'disk-full' | 'disk-fails' | 'disk-slow' },
): () => void {
  const peer = world.peers.get(fault.who);
  if (peer === undefined) return () => {};
  // Of a disk that cannot be read a blob in the middle of being sent is cut off, and the client comes back.
  const reads = fault.kind === 'disk-fails' && fault.what === 'read';
  if (reads) world.excuses.begin(`disk of ${fault.who}`);
  peer.diskFaults.add(fault);
  peer.applyDiskFaults();
  return () => {
    peer.diskFaults.delete(fault);
    peer.diskHealedMs = world.clock.now();
    peer.applyDiskFaults();
    if (reads) world.excuses.end(`disk of ${fault.who}`);
  };
}

/** A host that is up again does what it did wrong before, if that is not over. */
export function comesBack(world: World, host: string): void {
  world.network.heal(host);
  world.control.heal(host);
  if (world.misdeeds.has(`corrupt ${host}`)) world.network.corrupt(host);
  if (world.misdeeds.has(`stall ${host}`)) world.network.stall(host);
}
