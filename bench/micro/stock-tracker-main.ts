/** The server of the bittorrent-tracker package as it comes, over HTTP: the baseline of the tracker's rows. */
import type { AddressInfo } from 'node:net';
import Server from 'bittorrent-tracker/server';

const tracker = new Server({ udp: false, ws: false, stats: false });
tracker.listen(0, '127.0.0.1', () => {
  const { port } = tracker.http?.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ process: 'stock-tracker', port })}\n`);
});
