/** The parts of the package's own client that the tests use; it ships no types. */
declare module 'bittorrent-tracker/client' {
  import { EventEmitter } from 'node:events';

  export default class Client extends EventEmitter {
    constructor(options: {
      readonly infoHash: string;
      readonly peerId: string;
      readonly announce: string[];
      readonly port: number;
    });
    start(options: { left: number; numwant?: number }): void;
    update(options: { left: number }): void;
    complete(options: { left: number }): void;
    stop(options: { left: number }): void;
    scrape(): void;
    destroy(callback?: () => void): void;
  }
}
