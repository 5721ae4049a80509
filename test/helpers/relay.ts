import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SeenRequest } from './fault-origin.ts';

/** What stands in front of a real registry and writes down what it is asked. */
export interface Relay {
  readonly url: string;
  readonly seen: (SeenRequest & { status: number; sentBytes: number })[];
  /** Every connection is cut at once, as if the registry's machine were gone. */
  away: boolean;
  close(): Promise<void>;
}

export async function startRelay(target: string): Promise<Relay> {
  const { hostname, port } = new URL(target);
  const server = createServer((request, response) => {
    if (relay.away) {
      request.socket.destroy();
      return;
    }
    const { headers, method = '', url = '' } = request;
    const seen = { method, url, headers, status: 0, sentBytes: 0 };
    relay.seen.push(seen);
    const onward = httpRequest(
      { host: hostname, port, method, path: url, headers, agent: false },
      (answer) => {
        seen.status = answer.statusCode ?? 0;
        response.writeHead(seen.status, answer.headers);
        answer.on('data', (chunk: Buffer) => {
          seen.sentBytes += chunk.length;
        });
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const relay: Relay = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    away: false,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return relay;
}
