/** The parts of the packages that we use; they ship no types. */
declare module 'webtorrent' {
  import { EventEmitter } from 'node:events';
  import type { Server } from 'node:net';

  /** Where a torrent's pieces are kept: the abstract-chunk-store interface. */
  export interface ChunkStore {
    get(index: number, options: ChunkOptions | undefined, callback: ChunkCallback): void;
    put(index: number, bytes: Uint8Array, callback: (error: Error | null) => void): void;
    close(callback: (error: Error | null) => void): void;
    destroy(callback: (error: Error | null) => void): void;
  }
  /** Bytes within a piece. */
  export interface ChunkOptions {
    readonly offset?: number;
    readonly length?: number;
  }
  export type ChunkCallback = (error: Error | null, bytes?: Uint8Array) => void;

  export interface AddOptions {
    readonly preloadedStore?: ChunkStore;
    /** Made when the metadata is known. */
    readonly store?: new (
      pieceBytes: number,
      options: { readonly length: number },
    ) => ChunkStore;
    readonly skipVerify?: boolean;
    /** Pieces cached for each torrent. */
    readonly storeCacheSlots: 0;
  }

  /** A connection to one client. */
  export interface Wire extends EventEmitter {
    /** What waits to be sent, bytes. */
    readonly _readableState: { readonly buffered: number };
    destroy(): void;
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string;
    readonly name: string;
    readonly length: number;
    readonly pieceLength: number;
    readonly downloaded: number;
    readonly numPeers: number;
    readonly files: readonly { readonly name: string; readonly length: number }[];
    readonly announce: readonly string[];
    destroy(options?: object, callback?: (error?: Error) => void): void;
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: {
      /** Handed to `net.Server.listen`. */
      readonly torrentPort: { readonly host: string; readonly port: number };
      readonly tracker: { readonly wrtc: false; readonly proxyOpts: { httpsAgent?: object } };
      readonly dht: false;
      readonly lsd: false;
      readonly natUpnp: false;
      readonly natPmp: false;
      readonly utp: false;
      readonly utPex: false;
      readonly webSeeds: false;
      readonly maxConns: number;
      /** Bytes per second; -1 for no limit. */
      readonly uploadLimit?: number;
      /** 0 plain, 1 encrypted and plain. */
      readonly secure: 0 | 1;
    });
    readonly torrents: readonly Torrent[];
    readonly _connPool: { readonly tcpServer: Server } | null;
    add(torrent: Uint8Array | string, options: AddOptions): Torrent;
    address(): { readonly port: number } | null;
    destroy(callback: (error?: Error) => void): void;
  }
}

declare module 'bencode' {
  const bencode: {
    encode(value: unknown): Uint8Array;
  };
  export default bencode;
}
