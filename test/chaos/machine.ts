import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import type { JoinAuthority } from '../../bench/fixtures/join-authority.ts';
import type { NetworkNode } from '../../bench/fixtures/network.ts';

export type Role = 'tracker' | 'supernode' | 'daemon';

export interface MachineSpec {
  readonly name: string;
  readonly role: Role;
  /** Its number in the network. */
  readonly link: number;
  readonly place: NetworkNode;
  /** Holds the folders, sockets and logs of all machines. */
  readonly folder: string;
  /** File that names the registry. */
  readonly config: string;
  /** Their hosts. */
  readonly trackers: readonly string[];
  /** Who makes the certificates of all; absent where connections are plain. */
  readonly authority: JoinAuthority | undefined;
  /** More flags, whenever it is started. */
  readonly flags: readonly string[];
  readonly signal: AbortSignal;
}

/** How a start differs from the first one. */
export interface StartChange {
  /** After all others: a repeated flag that takes one value wins. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly dataDir?: string;
}

const ROOT = join(import.meta.dirname, '..', '..');
const READY_DEADLINE_MS = 60_000;
/** Every process promises to be gone 5 s after SIGTERM. */
const STOP_DEADLINE_MS = 6_000;
const POLL_MS = 20;
// Each machine has a network namespace of its own, so every process has its usual port, also after a restart.
const PORTS = { tracker: 8400, trackerHttp: 8401, proxy: 65001, peer: 65002, admin: 65003 } as const;

/** One process of ours on a machine of its own: a namespace with a capped link. */
export class Machine {
  readonly spec: MachineSpec;
  #child: Child<{ readonly pid: number }> | undefined;
  /** The process that took the child's place, when there was an upgrade. */
  #successor: number | undefined;
  #starts = 0;
  #down = true;

  constructor(spec: MachineSpec) {
    this.spec = spec;
  }

  get name(): string {
    return this.spec.name;
  }

  get pid(): number {
    return this.#successor ?? this.#child?.pid ?? 0;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Whether it has ended although nobody ended it. */
  get hasDied(): boolean {
    return !this.#down && !this.#isRunning;
  }

  get isUp(): boolean {
    return !this.#down && this.#isRunning;
  }

  get #isRunning(): boolean {
    return this.#successor === undefined ? this.#child?.running === true : isAlive(this.#successor);
  }

  /** Where its metrics are, from outside. */
  get admin(): string {
    return `${this.spec.place.clientHost}:${PORTS.admin}`;
  }

  /** `host:port` of a daemon's proxy. */
  get proxy(): string {
    return `${this.spec.place.clientHost}:${PORTS.proxy}`;
  }

  /** @throws Error with the log's tail when it does not come up */
  async start(change: StartChange = {}): Promise<void> {
    const { folder, name, place, role, signal } = this.spec;
    const dataDir = change.dataDir ?? join(folder, name);
    await mkdir(dataDir, { recursive: true });
    const argv = [...commandOf(this.spec, dataDir), ...this.spec.flags, ...(change.flags ?? [])];
    this.#child = await startChild({
      command: 'ip',
      args: ['netns', 'exec', place.namespace, ...argv],
      logFile: join(folder, `${name}.${this.#starts}.log`),
      ready: jsonReady<{ pid: number }>(role),
      deadlineMs: READY_DEADLINE_MS,
      signal,
      ...(change.env === undefined ? {} : { env: change.env }),
    });
    this.#starts++;
    this.#successor = undefined;
    this.#down = false;
  }

  /** Puts a new process in the daemon's place without a stop. @throws Error in the command's own words */
  async upgrade(): Promise<void> {
    const socket = socketOf(this.spec);
    const dfget = join(ROOT, 'bin', 'dfget');
    const { code, output, stdout } = await run(dfget, ['upgrade', '--socket', socket, '--json']);
    if (code !== 0) throw new Error(`upgrade of ${this.name}: ${output.trim()}`);
    this.#successor = (JSON.parse(stdout) as { readonly pid: number }).pid;
    this.#starts++;
  }

  /** SIGKILL; resolves when it has gone. */
  async kill(): Promise<void> {
    this.#down = true;
    await Promise.all([endProcess(this.#successor, 'SIGKILL'), this.#child?.kill('SIGKILL')]);
  }

  send(signal: 'SIGSTOP' | 'SIGCONT'): void {
    process.kill(this.pid, signal);
  }

  /** SIGTERM; resolves when it has gone. */
  async stop(): Promise<void> {
    this.#down = true;
    await Promise.all([endProcess(this.#successor, 'SIGTERM'), this.#child?.stop()]);
  }
}

/** Resolves when it has gone; SIGKILL for one that takes too long. */
async function endProcess(pid: number | undefined, signal: NodeJS.Signals): Promise<void> {
  if (pid === undefined) return;
  const deadline = performance.now() + STOP_DEADLINE_MS;
  if (isAlive(pid)) process.kill(pid, signal);
  while (isAlive(pid)) {
    if (performance.now() > deadline) process.kill(pid, 'SIGKILL');
    await sleep(POLL_MS);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function socketOf({ folder, name }: MachineSpec): string {
  return join(folder, `${name}.sock`);
}

function commandOf(spec: MachineSpec, dataDir: string): readonly string[] {
  const { authority, config, place, role } = spec;
  const common = [
    ...['--json', ...(authority === undefined ? ['--insecure'] : []), '--log-level', 'warn'],
    ...['--data-dir', dataDir, '--admin-listen', `${place.clientHost}:${PORTS.admin}`],
  ];
  const shared = [
    ...[...common, '--config', config, '--peer-listen', `${place.peerHost}:${PORTS.peer}`],
    ...findingOf(spec),
  ];
  switch (role) {
    case 'tracker':
      return [
        ...[join(ROOT, 'bin', 'damselfly'), 'tracker', ...common],
        ...['--listen', `${place.peerHost}:${PORTS.tracker}`],
        ...['--http-listen', `${place.peerHost}:${PORTS.trackerHttp}`],
        ...(authority === undefined ? [] : ['--ca-dir', authority.folder]),
      ];
    case 'supernode':
      return [join(ROOT, 'bin', 'damselfly'), 'supernode', ...shared];
    case 'daemon':
      return [
        ...[join(ROOT, 'bin', 'dfget'), 'daemon', ...shared],
        // Clients come over the machine's other link.
        ...['--proxy-listen', `${place.clientHost}:${PORTS.proxy}`, '--plain-proxy'],
        ...['--socket', socketOf(spec)],
      ];
  }
}

/** How a node or supernode finds the others, and becomes one of them. */
function findingOf({ authority, role, trackers }: MachineSpec): readonly string[] {
  const scheme = authority === undefined ? 'ws' : 'wss';
  return [
    ...trackers.flatMap((host) => ['--tracker', `${scheme}://${host}:${PORTS.tracker}`]),
    ...(authority === undefined
      ? []
      : ['--join-token', authority.tokens[role === 'supernode' ? 'supernode' : 'node']]),
  ];
}
