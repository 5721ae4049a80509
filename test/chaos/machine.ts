import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, jsonReady, startChild } from '../../bench/fixtures/child.ts';
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
  readonly registry: { readonly name: string; readonly url: string };
  readonly trackers: readonly string[];
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
// Each machine has a network namespace of its own, so every process has its usual port, also after a restart.
export const PORTS = { tracker: 8400, trackerHttp: 8401, proxy: 65001, peer: 65002, admin: 65003 } as const;

/** One process of ours on a machine of its own: a namespace with a capped link. */
export class Machine {
  readonly spec: MachineSpec;
  #child: Child<{ readonly pid: number }> | undefined;
  #starts = 0;
  #down = true;

  constructor(spec: MachineSpec) {
    this.spec = spec;
  }

  get name(): string {
    return this.spec.name;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Whether it has ended although nobody ended it. */
  get hasDied(): boolean {
    return !this.#down && this.#child?.running !== true;
  }

  get isUp(): boolean {
    return !this.#down && this.#child?.running === true;
  }

  /** Where its metrics are, from outside. */
  get admin(): string {
    const { place, role } = this.spec;
    return role === 'tracker' ? `${place.peerHost}:${PORTS.tracker}` : `${place.clientHost}:${PORTS.admin}`;
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
    this.#down = false;
  }

  /** SIGKILL; resolves when it has gone. */
  async kill(): Promise<void> {
    this.#down = true;
    await this.#child?.kill('SIGKILL');
  }

  send(signal: 'SIGSTOP' | 'SIGCONT'): void {
    process.kill(this.pid, signal);
  }

  /** SIGTERM; resolves when it has gone. */
  async stop(): Promise<void> {
    this.#down = true;
    await this.#child?.stop();
  }
}

function commandOf(spec: MachineSpec, dataDir: string): readonly string[] {
  const { folder, name, place, registry, role, trackers } = spec;
  const common = ['--json', '--insecure', '--log-level', 'warn'];
  const shared = [
    ...common,
    ...trackers.flatMap((url) => ['--tracker', url]),
    ...['--upstream', `${registry.name}=${registry.url}`, '--data-dir', dataDir],
    ...['--peer-listen', `${place.peerHost}:${PORTS.peer}`],
    ...['--admin-listen', `${place.clientHost}:${PORTS.admin}`],
  ];
  switch (role) {
    case 'tracker':
      return [
        ...[join(ROOT, 'bin', 'damselfly'), 'tracker', ...common],
        ...['--listen', `${place.peerHost}:${PORTS.tracker}`],
        ...['--http-listen', `${place.peerHost}:${PORTS.trackerHttp}`],
      ];
    case 'supernode':
      return [join(ROOT, 'bin', 'damselfly'), 'supernode', ...shared];
    case 'daemon':
      return [
        ...[join(ROOT, 'bin', 'dfget'), 'daemon', ...shared, '--default-upstream', registry.name],
        ...['--proxy-listen', `${place.clientHost}:${PORTS.proxy}`],
        ...['--socket', join(folder, `${name}.sock`)],
      ];
  }
}
