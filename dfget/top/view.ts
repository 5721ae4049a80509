import type { DaemonStatus, Traffic } from '../local-protocol.ts';

/** A daemon's status at a moment. */
export interface Sample {
  readonly status: DaemonStatus;
  /** Milliseconds, of any clock that does not go back. */
  readonly atMs: number;
}

/** What happened between two samples. */
export interface TopView {
  readonly node: string;
  readonly zone: string;
  readonly peersBy: DaemonStatus['discovery']['by'];
  readonly paused: readonly string[];
  readonly neighbours: { readonly nodes: number; readonly supernodes: number };
  readonly store: DaemonStatus['store'];
  /** Bytes per second, by where they came from and whom they went to. */
  readonly receiving: Readonly<Record<string, number>>;
  readonly sending: Readonly<Record<string, number>>;
  /** Blobs that are shared: those that move first, the fastest of them at the top. */
  readonly blobs: readonly BlobView[];
}

export interface BlobView {
  readonly digest: string;
  readonly size: number;
  /** 0 to 1. */
  readonly done: number;
  readonly bytesPerSecond: number;
  /** Until it is whole at this rate; null when it is, or does not move. */
  readonly secondsLeft: number | null;
  readonly readers: number;
  readonly efficiency: number | null;
}

/** @param before undefined: nothing is known to have moved */
export function viewOf(before: Sample | undefined, { atMs, status }: Sample): TopView {
  // A daemon that was started anew counts from 0, and may call itself as before.
  const seconds = before === undefined ? 0 : (atMs - before.atMs) / 1000;
  const rate = (now: number, then: number): number => (seconds > 0 ? Math.max(0, now - then) / seconds : 0);
  const rates = (kind: keyof Traffic): Record<string, number> => {
    const then = before?.status.traffic?.[kind];
    const now = Object.entries(status.traffic?.[kind] ?? {});
    return Object.fromEntries(now.map(([name, bytes]) => [name, rate(bytes, then?.[name] ?? 0)]));
  };
  const held = new Map(before?.status.blobs.map((blob) => [blob.digest, heldBytes(blob)]));
  const blobs = status.blobs.map((blob): BlobView => {
    const { digest, efficiency, readers, size } = blob;
    const here = heldBytes(blob);
    const bytesPerSecond = held.has(digest) ? rate(here, held.get(digest) ?? 0) : 0;
    const moves = bytesPerSecond > 0 && here < size;
    return {
      ...{ digest, size, efficiency, readers, bytesPerSecond },
      done: size === 0 ? 1 : here / size,
      secondsLeft: moves ? (size - here) / bytesPerSecond : null,
    };
  });
  const supernodes = status.neighbours.filter(({ role }) => role === 'supernode').length;
  return {
    ...{ node: status.id, zone: status.zone, store: status.store, paused: status.paused },
    peersBy: status.discovery.by,
    neighbours: { nodes: status.neighbours.length - supernodes, supernodes },
    receiving: rates('received'),
    sending: rates('sent'),
    blobs: blobs.sort(
      (a, b) => b.bytesPerSecond - a.bytesPerSecond || Number(a.done === 1) - Number(b.done === 1),
    ),
  };
}

/** The last piece of a blob may be shorter: this is exact when nothing or all is here. */
function heldBytes({ held, pieces, size }: DaemonStatus['blobs'][number]): number {
  return pieces === 0 ? size : Math.round((size * held) / pieces);
}
