import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A port that leads to another one for as long as it is open: closed, it ends what goes through and refuses the rest. */
export interface TcpGate {
  readonly port: number;
  open: boolean;
  close(): Promise<void>;
}

export async function startTcpGate(target: number): Promise<TcpGate> {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((near) => {
    if (!open) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(target, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return open;
    },
    set open(now) {
      open = now;
      if (!now) cut();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}
