import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** Stands before a node's peer port and turns over one bit in every body of pieces that the node sends. */
export interface CorruptRelay {
  readonly address: string;
  close(): Promise<void>;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Requests whose answers carry bytes of blobs; the WebSocket of a link goes through as it is. */
const ASKS_FOR_BYTES = /^(GET \/v1\/blobs\/|POST \/v1\/small-blobs)/;
const HEAD_END = '\r\n\r\n';

export async function startCorruptRelay(options: {
  readonly listen: Address;
  readonly target: Address;
}): Promise<CorruptRelay> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ ...options.target, noDelay: true });
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('close', () => target.destroy());
    target.on('close', () => client.end());
    let flipper: BodyFlipper | undefined;
    client.once('data', (first: Buffer) => {
      if (ASKS_FOR_BYTES.test(first.toString('latin1'))) flipper = new BodyFlipper();
      target.write(first);
      client.pipe(target);
    });
    target.on('data', (chunk: Buffer) => {
      if (client.write(flipper?.pass(chunk) ?? chunk)) return;
      target.pause();
      client.once('drain', () => target.resume());
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.listen.port, options.listen.host, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    address: `${address}:${port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Follows the answers of one connection and spoils the first byte of each body. */
export class BodyFlipper {
  #head = '';
  #bodyLeft = 0;
  #fresh = false;

  /** The chunk as it is passed on: as long as it was. */
  pass(chunk: Buffer): Buffer {
    const out = Buffer.from(chunk);
    let at = 0;
    while (at < out.length) {
      if (this.#bodyLeft > 0) {
        if (this.#fresh) out.writeUInt8(out.readUInt8(at) ^ 1, at);
        this.#fresh = false;
        const taken = Math.min(this.#bodyLeft, out.length - at);
        this.#bodyLeft -= taken;
        at += taken;
      } else {
        at += this.#takeHead(out.toString('latin1', at));
      }
    }
    return out;
  }

  /** @returns how much of it belongs to the head */
  #takeHead(text: string): number {
    const before = this.#head.length;
    const all = this.#head + text;
    const end = all.indexOf(HEAD_END);
    if (end < 0) {
      this.#head = all;
      return text.length;
    }
    this.#head = '';
    this.#bodyLeft = Number(/^content-length: *(\d+)\r?$/im.exec(all.slice(0, end + 2))?.[1] ?? 0);
    this.#fresh = true;
    return end + HEAD_END.length - before;
  }
}
