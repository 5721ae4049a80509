import { createCipheriv, createHash } from 'node:crypto';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PieceProof } from '../../lib/core/proof.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { TraceEvent } from '../../lib/observe/trace.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import { pairKey } from '../../lib/transfer/memory/memory-medium.ts';
import { createMemoryNetwork, type MemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import { decodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { audit } from './audit.ts';
import { Excuses } from './excuses.ts';
import { comesBack } from './fault-effects.ts';
import type { Invariant, Violation } from './invariants.ts';
import type { Mutant } from './mutants.ts';
import { Obstacles } from './obstacles.ts';
import type { Plan } from './plan.ts';
import { recordingLog } from './recording-log.ts';
import { type SimIdentities, simIdentities } from './sim-identities.ts';
import { SimPeer } from './sim-peer.ts';
import { SimRegistry } from './sim-registry.ts';
import { SimTracker } from './sim-tracker.ts';
import { CONTROL_SILENCE_MS, type SimSurroundings } from './surroundings.ts';

/** All blobs are cut from these bytes. */
const ALL_BYTES = randomBytes(40 * 1024 * 1024);
const EPOCH_MS = Date.UTC(2026, 0, 1);

export interface WorldOptions {
  /** Breaks a guard on purpose. */
  readonly mutant?: Mutant | undefined;
  /** Told of everything that happens. */
  readonly onTrace?: ((line: string) => void) | undefined;
  /** Also `silent-stall` is a violation. */
  readonly stalls?: boolean | undefined;
  /** The trace also has what peers say to each other. */
  readonly messages?: boolean | undefined;
}

/** Machines, processes, networks and a registry in one process, on a clock that moves when everything has settled. */
export class World implements SimSurroundings {
  readonly plan: Plan;
  readonly clock = new FakeClock();
  readonly network: MemoryNetwork;
  readonly control: MemoryNetwork;
  readonly rates: { readonly upBytesPerSecond: number; readonly downBytesPerSecond: number };
  readonly registry: SimRegistry;
  readonly peers = new Map<string, SimPeer>();
  readonly trackers = new Map<string, SimTracker>();
  readonly blobs: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[];
  readonly excuses: Excuses;
  /** Pairs of hosts between which nothing passes. */
  readonly cuts: Obstacles;
  /** Hosts without a way to the registry. */
  readonly registryCuts = new Obstacles();
  /** Machines without power, and processes that were ended: they start when nothing keeps them down any more. */
  readonly downs: Obstacles;
  /** What hosts do wrong with pieces: `corrupt` or `stall`, a space, and the host. */
  readonly misdeeds: Obstacles;
  /** Hosts that do not come back. */
  readonly downForGood = new Set<string>();
  /** Ids of peers that ever sent wrong bytes on purpose. */
  readonly corrupt = new Set<string>();
  /** The first thing that was wrong. */
  violation: Violation | undefined;
  steps = 0;
  longestWaitMs = 0;
  readonly checksStalls: boolean;
  readonly #log: Logger;
  readonly #options: WorldOptions;
  readonly #identities: SimIdentities;
  /** So much time has passed at once. */
  passedMs = 0;
  /** Who was told when that too many had stepped aside. */
  readonly #crowdedMs: (readonly [host: string, atMs: number])[] = [];
  readonly #trace = createHash('sha256');
  readonly #audits = new Set<Promise<void>>();

  /** @param identities who the machines are, where the plan wants that */
  constructor(plan: Plan, options: WorldOptions = {}, identities: SimIdentities = new Map()) {
    this.plan = plan;
    this.#options = options;
    this.#identities = identities;
    this.checksStalls = options.stalls === true;
    const { clock } = this;
    const { bytesPerSecond: rate, ...medium } = plan.network;
    this.excuses = new Excuses(() => clock.now());
    this.network = createMemoryNetwork({ clock, rng: this.rng(1) }, medium);
    this.control = createMemoryNetwork(
      { clock, rng: this.rng(2) },
      { ...medium, linkSilenceMs: CONTROL_SILENCE_MS },
    );
    this.rates = { upBytesPerSecond: rate, downBytesPerSecond: rate };
    this.registry = new SimRegistry(this.rng(3), plan.registry, (host) => !this.registryCuts.has(host));
    this.blobs = plan.blobs.map(({ offset, size }) => {
      const bytes = ALL_BYTES.subarray(offset, offset + size);
      return { digest: digestOf(bytes), bytes };
    });
    for (const { digest, bytes } of this.blobs) this.registry.add(digest, bytes);
    this.#log = recordingLog(
      this.#options.onTrace,
      (text) => this.violate('internal-error', text),
      (process, facts) => this.#explains(process, facts),
    );
    const between =
      (change: 'partition' | 'heal') =>
      (pair: string): void => {
        const [a = '', b = ''] = pair.split('|');
        this.network[change](a, b);
        this.control[change](a, b);
      };
    this.cuts = new Obstacles(between('partition'), between('heal'));
    this.misdeeds = new Obstacles((key) => {
      const [deed, host = ''] = key.split(' ');
      this.network[deed === 'corrupt' ? 'corrupt' : 'stall'](host);
    });
    this.downs = new Obstacles(undefined, (host) => this.start(host));
    this.#addMachines();
  }

  /** Starts what runs on the host. */
  start(host: string): void {
    comesBack(this, host);
    this.trackers.get(host)?.start();
    this.peers.get(host)?.start(() => this.note(host, 'runs'));
  }

  /** An own stream of randomness for one part of the run. */
  rng(part: number): Rng {
    return createRng(this.plan.seed * 1000 + part);
  }

  readonly wallClockMs = (): number => {
    return EPOCH_MS + this.clock.now();
  };

  readonly clusterTimeMs = (): number => {
    return this.wallClockMs() + this.passedMs;
  };

  readonly rightsClock = { now: (): number => this.clock.now() + this.passedMs };

  get hosts(): readonly string[] {
    return [...this.peers.keys(), ...this.trackers.keys()];
  }

  get traceHash(): string {
    return this.#trace.copy().digest('hex');
  }

  #addMachines(): void {
    const { bufferBytes, pieceBytes, storeMaxBytes } = this.plan;
    for (const name of machines(this.plan, 'tracker')) {
      this.control.host(name);
      this.network.host(name);
      const rng = this.rng(1000 + this.trackers.size);
      const identity = this.#identities.get(name);
      this.trackers.set(name, new SimTracker(name, this, this.#log.child({ process: name }), rng, identity));
    }
    for (const name of [...machines(this.plan, 'super'), ...machines(this.plan, 'node')]) {
      const settings = {
        name,
        role: name.startsWith('super') ? ('supernode' as const) : ('node' as const),
        trackers: [...this.trackers.keys()],
        ...{ bufferBytes, pieceBytes, storeMaxBytes, mutant: this.#options.mutant },
        log: this.#log.child({ process: name }),
        identity: this.#identities.get(name),
        crowded: () => void this.#crowdedMs.push([name, this.clock.now()]),
        hears: (from: string, message: Uint8Array) => this.#hears(name, from, message),
        trace: (_: number, event: TraceEvent) => this.#event(name, event),
      };
      this.network.host(name, this.rates);
      this.control.host(name);
      this.peers.set(name, new SimPeer(settings, this, this.registry, this.rng(10 + this.peers.size)));
    }
  }

  #hears(name: string, from: string, message: Uint8Array): void {
    if (this.#options.messages !== true) return;
    const { type, ...facts } = decodePeerMessage(message) ?? { type: 'unknown' };
    const text = JSON.stringify(facts, (key, value: unknown) =>
      key === 'proofs'
        ? (value as PieceProof[]).map(({ index }) => index)
        : key === 'hash'
          ? undefined
          : value,
    );
    this.#options.onTrace?.(`${this.clock.now().toFixed(3)} ${name} hears ${from}: ${type} ${text}`);
  }

  #event(name: string, event: TraceEvent): void {
    this.note(name, JSON.stringify(event));
    if (event.kind === 'piece-rejected' && !this.corrupt.has(event.from) && !this.mayLie(event.digest)) {
      this.violate('unverified-served', `${name} was sent a wrong piece ${event.index} by ${event.from}`);
    }
  }

  /** What a tracker still waits for is on its way while nothing passes between the two, or its sender stands still. */
  #explains(tracker: string, { problem, remoteHost }: Readonly<Record<string, unknown>>): boolean {
    if (problem !== 'no hello in time' || typeof remoteHost !== 'string') return false;
    return (
      this.cuts.has(pairKey(tracker, remoteHost)) || this.peers.get(remoteHost)?.process?.frozen === true
    );
  }

  /** Something happened, that every run with this plan repeats. */
  note(who: string, what: string): void {
    const line = `${this.clock.now().toFixed(3)} ${who} ${what}`;
    this.#trace.update(line);
    this.#options.onTrace?.(line);
  }

  readonly violate = (invariant: Invariant, message: string): void => {
    this.violation ??= { invariant, message, atMs: this.clock.now(), step: this.steps };
  };

  /** Whether the host could read what it wants from the registry, all the time since then. */
  registryServes(host: string, sinceMs: number): boolean {
    return !this.excuses.since('registry', sinceMs) && !this.excuses.since(`registry of ${host}`, sinceMs);
  }

  /** How often the host was told since then that too many had stepped aside. */
  crowded(host: string, sinceMs: number): number {
    return this.#crowdedMs.filter(([who, atMs]) => who === host && atMs >= sinceMs).length;
  }

  mayLie(digest: Digest): boolean {
    return this.registry.lied.has(digest);
  }

  cutOff(host: string): void {
    for (const other of this.hosts) if (other !== host) this.cuts.add(pairKey(host, other));
  }

  joinAgain(host: string): void {
    for (const other of this.hosts) if (other !== host) this.cuts.remove(pairKey(host, other));
  }

  /** Looks at what a crash left on the machine's disk, before time goes on. */
  audit(peer: SimPeer, survives: 'all' | 'complete' | 'nothing', before = peer.summaries): void {
    const { disk, folder, keyValue } = peer;
    const certain = survives === 'all' && peer.lostPower ? 'complete' : survives;
    const run = audit({
      ...{ folder, disk, keyValue, before, survives: peer.tampered ? 'nothing' : certain },
      truthOf: (digest) => this.blobs.find((blob) => blob.digest === digest)?.bytes,
      mayLie: (digest) => this.mayLie(digest),
    }).then(
      (wrong) => {
        if (wrong !== undefined) this.violate('disk', `${peer.name}: ${wrong}`);
      },
      (error: unknown) => this.violate('disk', `${peer.name}: ${String(error)}`),
    );
    this.#audits.add(run);
    void run.finally(() => this.#audits.delete(run));
  }

  /** Runs until the condition holds, something is wrong, or that time has come. @returns whether it holds */
  async runUntil(holds: () => boolean, untilMs: number): Promise<boolean> {
    for (;;) {
      await settled();
      for (const run of this.#audits) await run;
      if (this.violation !== undefined) return false;
      if (holds()) return true;
      this.steps++;
      try {
        if (!this.clock.advanceToNext(untilMs)) return holds();
      } catch (error) {
        this.violate(
          'internal-error',
          error instanceof Error ? (error.stack ?? error.message) : String(error),
        );
      }
    }
  }
}

const COUNTS = { tracker: 'trackers', super: 'supernodes', node: 'nodes' } as const;

/** Names of the machines of a kind. */
function machines(plan: Plan, kind: keyof typeof COUNTS): string[] {
  return Array.from({ length: plan[COUNTS[kind]] }, (_, index) => `${kind}${index}`);
}

/** Who the plan's machines are; nobody in particular in a cluster without identities. */
export async function identitiesOf(plan: Plan): Promise<SimIdentities> {
  if (plan.identities !== true) return new Map();
  const roles = [
    ...machines(plan, 'tracker').map((name) => [name, 'tracker'] as const),
    ...machines(plan, 'super').map((name) => [name, 'supernode'] as const),
    ...machines(plan, 'node').map((name) => [name, 'node'] as const),
  ];
  return await simIdentities(new Map(roles));
}

/** Every promise that can go on without time passing has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The same bytes in every process. */
function randomBytes(count: number): Uint8Array {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16)).update(Buffer.alloc(count));
}
