/** Something that goes wrong: from `atMs` on, for `forMs`. All times in milliseconds of the world. */
export type Fault = {
  readonly atMs: number;
  /** Absent: for good. */
  readonly forMs?: number | undefined;
} & FaultKind;

export type FaultKind =
  /** The process is killed, the power of its machine goes, or it is asked to stop; it starts again on the same disk. */
  | { readonly kind: 'kill' | 'power' | 'stop'; readonly who: string }
  /** The same, and silently rotten bytes in its files while it is down. */
  | { readonly kind: 'rot-while-down'; readonly who: string }
  /** As SIGSTOP. */
  | { readonly kind: 'freeze'; readonly who: string }
  /** Nothing passes between those and all others; the registry is on the side of the others when it is cut off. */
  | { readonly kind: 'partition'; readonly side: readonly string[]; readonly registryToo: boolean }
  | { readonly kind: 'no-registry'; readonly who: string }
  /** All ways of the host are slow and lose messages. */
  | {
      readonly kind: 'bad-way';
      readonly who: string;
      readonly delayMs: number;
      readonly loss: number;
      /** Of what it could send and receive. */
      readonly share: number;
    }
  /** What it sends of pieces is wrong, or stops midway. */
  | { readonly kind: 'corrupt' | 'stall'; readonly who: string }
  | { readonly kind: 'disk-full'; readonly who: string; readonly afterBytes: number }
  /** Reads, writes or syncs of its disk, or its records, fail. */
  | {
      readonly kind: 'disk-fails';
      readonly who: string;
      readonly what: 'write' | 'read' | 'sync' | 'records';
    }
  | { readonly kind: 'disk-slow'; readonly who: string; readonly times: number }
  /** A byte of one of its files is changed by somebody, at `share` of all files' bytes. */
  | { readonly kind: 'changed-file'; readonly who: string; readonly share: number }
  /** The wall clock jumps, and back. */
  | { readonly kind: 'wall-clock'; readonly who: string; readonly skewMs: number }
  | { readonly kind: 'registry-down' | 'registry-no-ranges' }
  /** Each host's every so-manieth request for bytes is answered by 500. */
  | { readonly kind: 'registry-errors'; readonly every: number }
  | { readonly kind: 'registry-busy'; readonly retrySeconds: number }
  | { readonly kind: 'registry-cuts'; readonly afterBytes: number }
  | { readonly kind: 'registry-stalls'; readonly stallMs: number }
  | { readonly kind: 'registry-slow'; readonly bytesPerSecond: number }
  | { readonly kind: 'registry-lies'; readonly everyBytes: number }
  /** In a cluster with identities: the registry says to nobody that he may read, but lets everybody read. */
  | { readonly kind: 'registry-mints-nothing' }
  /** In a cluster with identities: so much time passes that all capabilities are over. */
  | { readonly kind: 'capabilities-expire' };

/** When the fault is over; Infinity: never. */
export function endOf({ atMs, forMs }: Fault): number {
  return atMs + (forMs ?? Number.POSITIVE_INFINITY);
}
