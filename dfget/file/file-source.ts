/** Where `dfget URL` reads a file from: the daemon's swarm, or its source. */
export interface FileSource {
  /** Changes when the file does; undefined when nobody can tell, and then a beginning is of no use later. */
  readonly key: string | undefined;
  /** Bytes of the whole file; undefined when the source does not say. */
  readonly size: number | undefined;
  /**
   * Its bytes from `start` on, which is below `size`.
   * @throws UPSTREAM_*, DIGEST_MISMATCH, DAEMON_UNREACHABLE, ABORTED
   */
  open(start: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
