import { join } from 'node:path';
import { describeError } from '../core/errors.ts';
import { type PeerInfo, ROLES } from '../core/node.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Disk } from '../store/disk/disk.ts';

/** Processes that are remembered, and how many of them may be supernodes. */
export const MAX_REMEMBERED = 64;
const MAX_SUPERNODES = 16;
/** News is written at most so often. */
const WRITE_MS = 10_000;
const FILE = 'peers.json';

export interface RememberedPeersDeps {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The processes heard of last, kept across restarts: whom to turn to when no tracker answers. */
export class RememberedPeers {
  readonly #deps: RememberedPeersDeps;
  readonly #path: string;
  /** The latest one last. */
  readonly #peers: Map<string, PeerInfo>;
  #cancelWrite: (() => void) | undefined;
  #writing = Promise.resolve();

  private constructor(deps: RememberedPeersDeps, path: string, peers: readonly PeerInfo[]) {
    this.#deps = deps;
    this.#path = path;
    this.#peers = new Map(peers.map((peer) => [peer.id, peer]));
  }

  /** Reads what was remembered in the folder; what cannot be read is forgotten. */
  static async load(deps: RememberedPeersDeps, folder: string): Promise<RememberedPeers> {
    const path = join(folder, FILE);
    try {
      const text = await deps.disk.readText(path);
      return new RememberedPeers(deps, path, text === undefined ? [] : peersOf(text));
    } catch (error) {
      deps.log.warn({ path, error: describeError(error) }, 'remembered peers cannot be read');
      return new RememberedPeers(deps, path, []);
    }
  }

  /** The latest first. */
  get all(): readonly PeerInfo[] {
    return [...this.#peers.values()].reverse();
  }

  get supernodes(): readonly PeerInfo[] {
    return this.all.filter(({ role }) => role === 'supernode');
  }

  /** These were heard of. */
  note(peers: readonly PeerInfo[]): void {
    let news = false;
    for (const peer of peers) {
      if (peer.host === '') continue;
      const known = this.#peers.get(peer.id);
      news ||= known === undefined || known.host !== peer.host || known.port !== peer.port;
      this.#peers.delete(peer.id);
      this.#peers.set(peer.id, peer);
    }
    if (!news) return;
    this.#trim();
    this.#cancelWrite ??= this.#deps.clock.after(WRITE_MS, () => {
      this.#cancelWrite = undefined;
      void this.#write();
    });
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.#cancelWrite !== undefined) {
      this.#cancelWrite();
      this.#cancelWrite = undefined;
      void this.#write();
    }
    await this.#writing;
  }

  #trim(): void {
    const supernodes = this.supernodes;
    for (const { id } of supernodes.slice(MAX_SUPERNODES)) this.#peers.delete(id);
    // Supernodes are few, and of more use than any node.
    for (const { id, role } of [...this.#peers.values()]) {
      if (this.#peers.size <= MAX_REMEMBERED) return;
      if (role === 'node') this.#peers.delete(id);
    }
  }

  #write(): Promise<void> {
    const { disk, log } = this.#deps;
    this.#writing = this.#writing.then(async () => {
      try {
        await disk.writeText(this.#path, `${JSON.stringify([...this.#peers.values()])}\n`);
      } catch (error) {
        log.warn({ path: this.#path, error: describeError(error) }, 'peers cannot be remembered');
      }
    });
    return this.#writing;
  }
}

/** Whatever looks like a peer. */
function peersOf(text: string): PeerInfo[] {
  const values: unknown = JSON.parse(text);
  if (!Array.isArray(values)) return [];
  return values.filter(isPeer).slice(-MAX_REMEMBERED);
}

function isPeer(value: unknown): value is PeerInfo {
  if (typeof value !== 'object' || value === null) return false;
  const { host, id, port, role, zone } = value as Partial<Record<keyof PeerInfo, unknown>>;
  const texts = [host, zone].every((text) => typeof text === 'string');
  const named = typeof id === 'string' && /^[0-9a-f]{40}$/.test(id);
  return texts && named && Number.isInteger(port) && (ROLES as readonly unknown[]).includes(role);
}
