/** The parts of the package that we use; it ships no types. */
declare module 'bittorrent-tracker/server' {
  import type { RemoteInfo, Socket } from 'node:dgram';
  import { EventEmitter } from 'node:events';
  import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';

  export interface AnnounceParams {
    readonly type: 'http' | 'udp';
    /** 40 hex digits, as `peer_id`. */
    readonly info_hash: string;
    readonly peer_id: string;
    readonly ip: string;
    readonly port: number;
    /** Bytes still wanted; 0 for a seed. */
    readonly left: number;
    /** At most 82, but not always a positive integer. */
    readonly numwant: number;
    /** The request that carries it; absent over UDP. */
    readonly httpReq?: IncomingMessage;
    /** As the client sent it; HTTP may carry anything, even an array. */
    readonly event: unknown;
    /** 1: six bytes a peer; 0: dictionaries. */
    compact: number;
  }

  export interface SwarmPeer {
    /** 40 hex digits. */
    readonly peerId: string;
    readonly ip: string;
    readonly port: number;
  }

  export interface SwarmCounts {
    complete: number;
    incomplete: number;
  }

  export interface SwarmAnswer extends SwarmCounts {
    readonly peers: readonly SwarmPeer[];
    /** What the client is told to wait until its next announce, seconds. @default the server's */
    readonly interval?: number;
  }

  export type Callback<T> = (error: Error | null, result?: T) => void;

  export interface Swarm {
    announce(params: AnnounceParams, callback: Callback<SwarmAnswer>): void;
    scrape(params: unknown, callback: Callback<SwarmCounts>): void;
  }

  export default class Server extends EventEmitter {
    constructor(options: {
      /** @default true */
      readonly http?: false;
      readonly udp: false;
      readonly ws: false;
      readonly stats: false;
    });
    http: HttpServer | null;
    udp4: Socket | null;
    udp6: Socket | null;
    onHttpRequest(request: IncomingMessage, response: ServerResponse): void;
    onUdpRequest(message: Buffer, from: RemoteInfo): void;
    getSwarm(infoHash: string, callback: Callback<Swarm>): void;
    listen(port: number, host: string, callback: () => void): void;
    close(callback?: () => void): void;
  }
}
