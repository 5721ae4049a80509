import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** What stands between two processes and passes bytes on, or swallows them: connections stay open then, as across a dead line. */
export interface TcpRelay {
  readonly port: number;
  /** Of the connections that are open now. */
  swallow(): void;
  /** Bytes that came from those who dialled. */
  readonly upBytes: number;
  /** And that went back to them. */
  readonly downBytes: number;
}

export async function startTcpRelay(t: Test, target: number): Promise<TcpRelay> {
  const sockets = new Set<Socket>();
  const dead = new WeakSet<Socket>();
  let upBytes = 0;
  let downBytes = 0;
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (bytes) => {
        if (from === near) upBytes += bytes.length;
        else if (!dead.has(from)) downBytes += bytes.length;
        if (!dead.has(from)) to.write(bytes);
      });
      from.on('close', () => {
        sockets.delete(from);
        if (!dead.has(from)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    swallow() {
      for (const socket of sockets) dead.add(socket);
    },
    get upBytes() {
      return upBytes;
    },
    get downBytes() {
      return downBytes;
    },
  };
}
