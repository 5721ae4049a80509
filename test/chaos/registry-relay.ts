import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is wrong with the registry. */
export type RegistryFault =
  | { readonly kind: 'none' }
  /** Every connection is cut at once, as if the machine were gone. */
  | { readonly kind: 'away' }
  /** Each connection is cut after so many bytes of bodies. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Each answer stands still for a while after so many bytes. */
  | { readonly kind: 'stall'; readonly afterBytes: number; readonly pauseMs: number }
  | { readonly kind: 'every-second-500' }
  /** One bit of the blob is turned over in so many answers, to everybody or to whoever reads a layer first. */
  | { readonly kind: 'lie'; readonly answers: number; readonly to: 'all' | 'first-reader' };

export interface RelayCounters {
  /** Bytes of bodies handed to the network. */
  readonly bytes: number;
  /** ... by the address that they went to. */
  readonly bytesTo: Readonly<Record<string, number>>;
  readonly requests: number;
  /** Answers that the fault has spoilt. */
  readonly spoilt: number;
}

/** One answer that has ended. */
export interface RelayAnswer {
  /** Address of the reader. */
  readonly to: string;
  readonly path: string;
  readonly range: string | undefined;
  /** Of its body, handed to the network; what the reader did not take of it is gone too. */
  readonly bytes: number;
  /** Whether that was all of it. */
  readonly whole: boolean;
  readonly tookMs: number;
}

/** Stands in front of a real registry, counts what leaves it, and can be as bad as a registry gets. */
export interface RegistryRelay {
  readonly address: string;
  fault: RegistryFault;
  readonly counters: RelayCounters;
  close(): Promise<void>;
}

/** Lies are about layers: a manifest or a config that differs is noticed at once. */
const MIN_LIE_BYTES = 1024 * 1024;

export async function startRegistryRelay(options: {
  readonly host: string;
  readonly target: { readonly host: string; readonly port: number };
  readonly onAnswer?: (answer: RelayAnswer) => void;
}): Promise<RegistryRelay> {
  const counters = { bytes: 0, bytesTo: {} as Record<string, number>, requests: 0, spoilt: 0 };
  let firstReader: string | undefined;
  const perConnection = new WeakMap<Socket, number>();
  const { host, port } = options.target;

  const server = createServer((request, response) => {
    counters.requests++;
    if (relay.fault.kind === 'every-second-500' && counters.requests % 2 === 0) {
      counters.spoilt++;
      request.resume();
      response.writeHead(500, { 'content-length': '0' }).end();
      return;
    }
    const { headers, method = '', url = '' } = request;
    const onward = httpRequest({ host, port, method, path: url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      const startedMs = performance.now();
      const told = { to: request.socket.remoteAddress ?? '', path: url, range: headers.range };
      const ended = (bytes: number, whole: boolean): void =>
        options.onAnswer?.({ ...told, bytes, whole, tookMs: Math.round(performance.now() - startedMs) });
      pass(request, answer, response, ended).catch(() => response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  server.on('connection', (socket) => {
    if (relay.fault.kind === 'away') socket.destroy();
  });

  async function pass(
    request: IncomingMessage,
    answer: IncomingMessage,
    response: ServerResponse,
    ended: (bytes: number, whole: boolean) => void,
  ) {
    const { socket } = request;
    const reader = socket.remoteAddress ?? '';
    const size = Number(answer.headers['content-length'] ?? 0);
    let sent = 0;
    let stalled = false;
    const lieAt = isToldLies(reader, size) ? Math.floor(size / 2) : undefined;
    response.once('close', () => ended(sent, response.writableFinished));
    for await (const piece of answer as AsyncIterable<Buffer>) {
      let chunk = piece;
      const { fault } = relay;
      if (lieAt !== undefined && lieAt >= sent && lieAt < sent + chunk.length && mayLie()) {
        // Counted here: of many answers the reader takes only the beginning.
        counters.spoilt++;
        chunk = Buffer.from(chunk);
        chunk.writeUInt8(chunk.readUInt8(lieAt - sent) ^ 1, lieAt - sent);
      }
      const carried = perConnection.get(socket) ?? 0;
      const cut = fault.kind === 'cut' && carried + chunk.length >= fault.afterBytes;
      if (cut) chunk = chunk.subarray(0, Math.max(0, fault.afterBytes - carried));
      perConnection.set(socket, carried + chunk.length);
      counters.bytes += chunk.length;
      counters.bytesTo[reader] = (counters.bytesTo[reader] ?? 0) + chunk.length;
      sent += chunk.length;
      await write(response, chunk);
      if (cut) {
        counters.spoilt++;
        socket.destroySoon();
        return;
      }
      if (fault.kind === 'stall' && !stalled && sent >= fault.afterBytes) {
        stalled = true;
        counters.spoilt++;
        await sleep(fault.pauseMs);
      }
    }
    response.end();
  }

  function isToldLies(reader: string, size: number): boolean {
    const { fault } = relay;
    if (fault.kind !== 'lie' || size < MIN_LIE_BYTES) return false;
    firstReader ??= reader;
    return fault.to === 'all' || reader === firstReader;
  }

  function mayLie(): boolean {
    const { fault } = relay;
    return fault.kind === 'lie' && counters.spoilt < fault.answers;
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, options.host, resolve);
  });
  const relay: RegistryRelay = {
    address: `${options.host}:${(server.address() as AddressInfo).port}`,
    fault: { kind: 'none' },
    counters,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return relay;
}

/** Resolves when there is room for more. @throws Error when nobody reads it any more */
async function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  if (!response.destroyed && response.write(chunk)) return;
  await new Promise<void>((resolve, reject) => {
    const gone = (): void => reject(new Error('the reader has gone'));
    if (response.destroyed) gone();
    response.once('close', gone);
    response.once('drain', () => {
      response.off('close', gone);
      resolve();
    });
  });
}
