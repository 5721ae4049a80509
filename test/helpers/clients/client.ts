import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a real container client is asked to pull, and by which way. */
export interface ClientPull {
  /** An empty folder of its own: root, state, sockets, configuration. */
  readonly folder: string;
  /** How users name the registry: `registry.test`. */
  readonly namespace: string;
  /** Where the registry really listens, `host:port`, plain HTTP. */
  readonly registry: string;
  /** The mirror, `host:port` and maybe a path; without one the client goes to the registry itself. */
  readonly mirror?: string;
  /** The proxy by which the client reaches the registry under its own name, and the PEM file that it must trust. */
  readonly forward?: { readonly address: string; readonly ca: string };
  readonly repository: string;
  readonly tag: string;
  readonly credentials?: { readonly user: string; readonly password: string };
  /** For each command. @default that of `run` */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What the client says it has. */
export interface ClientImage {
  readonly manifestDigest: string;
  /** The digests that identify the content in that client: of blobs, or of unpacked layers. Sorted. */
  readonly contentDigests: readonly string[];
}

/** A real client with everything it starts in a folder of its own. */
export interface ContainerClient {
  readonly name: string;
  readonly programs: readonly string[];
  /** @throws Error with the client's own words when it could not pull */
  pull(pull: ClientPull): Promise<ClientImage>;
}

/** Why the client's tests are skipped here, or false: for tap's `skip`. */
export function skipReason(client: { readonly programs: readonly string[] }): string | false {
  const missing = client.programs.filter((program) => onPath(program) === undefined);
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  return process.getuid?.() === 0 ? false : 'needs root';
}

/** The file that a program's name means here. */
export function onPath(program: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
