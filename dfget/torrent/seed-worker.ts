import { parentPort, workerData } from 'node:worker_threads';
import type { Torrent } from 'webtorrent';
import { createBittorrentClient } from './bittorrent-client.ts';
import { PieceCache, sharedChunkStore } from './piece-cache.ts';
import type { FromSeeder, SeededFile, SeedOptions, ToSeeder } from './seed-messages.ts';

/**
 * The thread that serves BitTorrent clients: what strangers send is parsed here, and what that costs or breaks is not
 * the daemon's. It reads nothing itself: it asks the daemon for each piece.
 */
const REPORT_MS = 1000;

const { authority, listen, uploadRate } = workerData as SeedOptions;
/** fetch says no more than that it failed. */
const textOf = (error: Error | string): string =>
  typeof error === 'string' ? error : ((error.cause as Error | undefined) ?? error).message;
const tell = (message: FromSeeder): void => parentPort?.postMessage(message);
const { client, trust } = await createBittorrentClient({
  ...{ authority, listen, uploadRate },
  onProblem: (error) => tell({ type: 'warning', infoHash: '', message: String(error) }),
});
const reads = new Map<number, PromiseWithResolvers<Uint8Array>>();
/** Its published types leave out `ready`. */
type Added = Torrent & { readonly ready: boolean };
const torrents = new Map<string, Added>();
const sent = new Map<string, number>();
let lastRead = 0;

const cache = new PieceCache((infoHash, offset, length) => {
  const read = Promise.withResolvers<Uint8Array>();
  const id = ++lastRead;
  reads.set(id, read);
  tell({ type: 'read', id, infoHash, offset, length });
  return read.promise;
});

client.on('listening', () => tell({ type: 'listening', port: client.address()?.port ?? 0 }));
client.on('error', (error: Error) => tell({ type: 'failed', message: error.message }));

function seed({ infoHash, pieceBytes, size, torrent: file }: SeededFile): void {
  const known = torrents.get(infoHash);
  if (known !== undefined) {
    // One that is not ready yet says so when it is.
    if (known.ready) tell({ type: 'seeding', infoHash });
    return;
  }
  const torrent = client.add(file, {
    preloadedStore: sharedChunkStore(cache, { infoHash, pieceBytes, size }),
    // Whole, and verified by the store each time it is read.
    skipVerify: true,
    storeCacheSlots: 0,
  }) as Added;
  torrents.set(infoHash, torrent);
  torrent.on('ready', () => tell({ type: 'seeding', infoHash }));
  torrent.on('trackerAnnounce', () => tell({ type: 'announced', infoHash }));
  torrent.on('upload', (bytes: number) => sent.set(infoHash, (sent.get(infoHash) ?? 0) + bytes));
  torrent.on('warning', (warning: Error | string) =>
    tell({ type: 'warning', infoHash, message: textOf(warning) }),
  );
  torrent.on('error', (error: Error | string) => {
    torrents.delete(infoHash);
    tell({ type: 'warning', infoHash, message: textOf(error) });
  });
}

setInterval(() => {
  for (const [infoHash, bytes] of sent) {
    tell({ type: 'sent', infoHash, bytes, clients: torrents.get(infoHash)?.numPeers ?? 0 });
  }
  sent.clear();
}, REPORT_MS).unref();

parentPort?.on('message', (message: ToSeeder) => {
  switch (message.type) {
    case 'seed':
      return seed(message);
    case 'stop':
      torrents.get(message.infoHash)?.destroy();
      return void torrents.delete(message.infoHash);
    case 'bytes': {
      const read = reads.get(message.id);
      reads.delete(message.id);
      if (message.bytes === undefined) return read?.reject(new Error('not to be read'));
      return read?.resolve(message.bytes);
    }
    case 'trust':
      return trust(message.authority);
    case 'close':
      return client.destroy(() => tell({ type: 'closed' }));
  }
});
