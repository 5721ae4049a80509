/** What the daemon and the thread that serves BitTorrent clients say to each other. */

export interface SeedOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Bytes per second. */
  readonly uploadRate: number | undefined;
  /** PEM; undefined while connections are plain. */
  readonly authority: string | undefined;
}

/** A file to serve. */
export interface SeededFile {
  readonly infoHash: string;
  readonly size: number;
  readonly pieceBytes: number;
  /** The bytes of the `.torrent` file. */
  readonly torrent: Uint8Array;
}

export type ToSeeder =
  | ({ readonly type: 'seed' } & SeededFile)
  | { readonly type: 'stop'; readonly infoHash: string }
  /** Answers a `read`; without bytes they cannot be read. */
  | { readonly type: 'bytes'; readonly id: number; readonly bytes?: Uint8Array }
  | { readonly type: 'trust'; readonly authority: string }
  | { readonly type: 'close' };

export type FromSeeder =
  /** Serves clients on that port. */
  | { readonly type: 'listening'; readonly port: number }
  /** Cannot listen, or cannot go on. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'seeding'; readonly infoHash: string }
  | {
      readonly type: 'read';
      readonly id: number;
      readonly infoHash: string;
      readonly offset: number;
      readonly length: number;
    }
  /** Bytes of the file that clients were sent since the last of these. */
  | { readonly type: 'sent'; readonly infoHash: string; readonly bytes: number; readonly clients: number }
  | { readonly type: 'announced'; readonly infoHash: string }
  | { readonly type: 'warning'; readonly infoHash: string; readonly message: string }
  | { readonly type: 'closed' };
