import { createHash, hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createSecureContext, createServer as createTlsServer, connect as tlsConnect } from 'node:tls';
import { pieceLength, pieceOffset } from '../../../lib/core/geometry.ts';
import { mutualTls } from '../../../lib/security/system/mutual-tls.ts';
import { inLanes, LANES, measured, type Received, type ReceiveJob, type SendJob } from './job.ts';
import type { Methods } from './part.ts';

/*
 * The least that can move, verify and store a blob between two Node processes: no HTTP, no store, no swarm. A request
 * is the number of a piece in four bytes, the answer that number again and the bytes; connections never break.
 */

const HEAD_BYTES = 4;

export const rawSender: Methods = {
  listen: async ({ source, tls }: SendJob): Promise<number> => {
    const file = await open(source.file, 'r');
    const serve = (socket: Socket): void => {
      socket.setNoDelay(true);
      const buffer = Buffer.allocUnsafeSlow(HEAD_BYTES + source.info.pieceBytes);
      socket.on('error', () => {});
      socket.on('data', (request) => void send(request.readUInt32BE(0)));
      const send = async (piece: number): Promise<void> => {
        const length = pieceLength(source.info, piece);
        buffer.writeUInt32BE(piece);
        await file.read(buffer, HEAD_BYTES, length, pieceOffset(source.info, piece));
        socket.write(buffer.subarray(0, HEAD_BYTES + length));
      };
    };
    const server: Server =
      tls === undefined
        ? createServer(serve)
        : createTlsServer({ ...mutualTls(tls), requestCert: true }, serve);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  },
};

/** One connection that carries one request at a time; each piece lands where `into` is. */
class RawConnection {
  readonly #socket: Socket;
  readonly #request = Buffer.allocUnsafeSlow(HEAD_BYTES);
  readonly #head = Buffer.allocUnsafeSlow(HEAD_BYTES);
  #target: Uint8Array = this.#head;
  #into: Uint8Array = this.#head;
  #filled = 0;
  #done = (): void => {};

  constructor({ port, tls }: ReceiveJob) {
    const onread = {
      buffer: () => this.#target.subarray(this.#filled),
      callback: (bytes: number) => {
        this.#filled += bytes;
        if (this.#filled < this.#target.length) return true;
        this.#filled = 0;
        if (this.#target === this.#head) this.#target = this.#into;
        else {
          this.#target = this.#head;
          this.#done();
        }
        return true;
      },
    };
    const to = { host: '127.0.0.1', port, noDelay: true, onread };
    this.#socket =
      tls === undefined
        ? connect(to)
        : tlsConnect({
            ...to,
            secureContext: createSecureContext(mutualTls(tls)),
            checkServerIdentity: () => undefined,
          });
  }

  fetch(piece: number, into: Uint8Array): Promise<void> {
    this.#into = into;
    this.#request.writeUInt32BE(piece);
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#socket.write(this.#request);
    });
  }
}

class RawReceiver {
  readonly #job: ReceiveJob;
  readonly #file: FileHandle;
  readonly #connections: RawConnection[];
  readonly #buffers: Uint8Array[] = [];

  constructor(job: ReceiveJob, file: FileHandle) {
    this.#job = job;
    this.#file = file;
    this.#connections = Array.from({ length: LANES }, () => new RawConnection(job));
  }

  run(): Promise<Received> {
    return measured(async () => {
      const { info, hashes } = this.#job.source;
      const whole = createHash('sha256');
      /** Verified pieces that wait for those before them, with their memory. */
      const ahead = new Map<number, Uint8Array>();
      let next = 0;
      await inLanes(info.pieces, async (piece) => {
        const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(info.pieceBytes);
        const bytes = buffer.subarray(0, pieceLength(info, piece));
        const connection = this.#connections.pop()!;
        await connection.fetch(piece, bytes);
        this.#connections.push(connection);
        if (!hash('sha256', bytes, 'buffer').equals(hashes[piece]!)) {
          throw new Error(`piece ${piece} is wrong`);
        }
        await this.#file.write(bytes, 0, bytes.length, pieceOffset(info, piece));
        ahead.set(piece, bytes);
        for (let held = ahead.get(next); held !== undefined; held = ahead.get(next)) {
          whole.update(held);
          ahead.delete(next++);
          this.#buffers.push(new Uint8Array(held.buffer));
        }
      });
      if (`sha256:${whole.digest('hex')}` !== info.digest) {
        throw new Error('the transfer brought another blob');
      }
      await this.#file.datasync();
    });
  }
}

export const rawReceiver: Methods = {
  connect: async (job: ReceiveJob) => {
    receiver = new RawReceiver(job, await open(join(job.folder, 'raw'), 'w+'));
  },
  run: () => receiver!.run(),
};
let receiver: RawReceiver | undefined;
