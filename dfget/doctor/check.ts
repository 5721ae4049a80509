import type { DaemonStatus, RegistryAnswer } from '../local-protocol.ts';

/** Answer to an HTTP GET. */
export interface HttpAnswer {
  readonly status: number;
  /** Value of the Date header. */
  readonly date: string | null;
  readonly text: string;
}

/** What the checks look at. Nothing here throws for what is merely not there. */
export interface Patient {
  /** The daemon's own account; undefined when none answers. */
  readonly status: DaemonStatus | undefined;
  /** What each registry answers the daemon. */
  readonly registries: () => Promise<readonly RegistryAnswer[]>;
  /** @throws Error when there is no answer */
  readonly get: (url: string) => Promise<HttpAnswer>;
  readonly readText: (path: string) => string | undefined;
  /** Names in a folder, sorted. */
  readonly list: (folder: string) => readonly string[];
  /** Bytes of a file. */
  readonly sizeOf: (path: string) => number;
  /** Of the file system that a folder is on. */
  readonly space: (folder: string) => { readonly freeBytes: number; readonly totalBytes: number } | undefined;
  /** What `program --version` prints; undefined when it is not installed. */
  readonly version: (program: string) => string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What a check found. */
export interface Finding {
  /** What was looked at. */
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'problem';
  /** What it means. */
  readonly says: string;
  /** The one command that cures it, or brings it to light. */
  readonly cure?: string;
}

export type Check = (patient: Patient) => Promise<readonly Finding[]> | readonly Finding[];
