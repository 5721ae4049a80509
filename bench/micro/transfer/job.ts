import type { BlobInfo } from '../../../lib/core/geometry.ts';
import type { TlsKeys } from '../../../lib/security/system/mutual-tls.ts';

/** Everybody's id: with TLS all of them show the one certificate that names it. */
export const PEER_ID = 'b'.repeat(40);

/** Requests under way at once: the download slots of a node. */
export const LANES = 4;

/** A blob that every sender has: its file is in the page cache, and the hashes are what a receiver verifies by. */
export interface Source {
  readonly info: BlobInfo;
  /** SHA-256 of each piece. */
  readonly hashes: readonly Uint8Array[];
  readonly file: string;
}

export interface SendJob {
  readonly source: Source;
  readonly tls: TlsKeys | undefined;
}

export interface ReceiveJob extends SendJob {
  readonly port: number;
  /** Where what is received goes; the same file in each run, so that its memory is resident from the second on. */
  readonly folder: string;
}

/** What one run of a receiver did; it has verified and stored all of it. */
export interface Received {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Runs `work` for each piece, so many at once, in order of their numbers. */
export async function inLanes(pieces: number, work: (piece: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < pieces) await work(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Time and CPU of this process for `work`. */
export async function measured(work: () => Promise<void>): Promise<Received> {
  const startedMs = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6 };
}
