import { constants, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { type Digest, isDigest } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import { blobInfo, pieceLength, pieceOffset } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { PeerNetwork } from '../../lib/transfer/seams.ts';
import { decodePeerMessage, encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { PEER_PROTOCOL_VERSION } from '../../lib/wire/peer-messages.ts';
import { parseAddress } from '../fixtures/address.ts';

// Peers that want all that a node can give: each linked to it, each with four requests in flight, forever. What they
// receive they throw away: they stand for other machines, and so they run only when this one has nothing else to do.

const REQUESTS_EACH = 4;
/** Whoever is refused waits for word of a free slot; so long at most, as nodes do. */
const WAIT_MS = 1000;

const { values } = parseArgs({
  options: {
    node: { type: 'string', default: '' },
    digest: { type: 'string', default: '' },
    size: { type: 'string', default: '' },
    peers: { type: 'string', default: '1' },
  },
});
const digest = values.digest as Digest;
if (!isDigest(digest)) throw new Error('--digest is missing');
const info = blobInfo(digest, Number(values.size));
const address = parseAddress(values.node);
const clock = createSystemClock();
const { signal } = new AbortController();
setPriority(constants.priority.PRIORITY_LOW);

let next = 0;
let told = false;

async function ask(network: PeerNetwork, from: string, waiting: (() => void)[]): Promise<void> {
  const into = Buffer.alloc(info.pieceBytes);
  for (;;) {
    const piece = next++ % info.pieces;
    const start = pieceOffset(info, piece);
    const length = pieceLength(info, piece);
    const range = { start, end: start + length };
    try {
      await network.fetch({ address, from, digest, range }, into.subarray(0, length), { signal });
    } catch (error) {
      // Unknown: it has not heard our greeting yet.
      if (!hasCode(error, 'PEER_BUSY') && !hasCode(error, 'BLOB_UNKNOWN')) throw error;
      await new Promise<void>((resolve) => {
        const goOn = (): void => {
          cancel();
          resolve();
        };
        const cancel = clock.after(WAIT_MS, goOn);
        waiting.push(goOn);
      });
      continue;
    }
    if (!told) process.stdout.write(`${JSON.stringify({ process: 'peers', pid: process.pid })}\n`);
    told = true;
  }
}

// Timers of the clock do not keep a process alive.
setInterval(() => {}, 1000);
for (let peer = 0; peer < Number(values.peers); peer++) {
  const network = createHttpPeerNetwork({ clock, log: silentLog() });
  const id = String(peer).padStart(40, 'e');
  const link = await network.dial(address, { signal });
  const waiting: (() => void)[] = [];
  link.listen({
    message(bytes) {
      const message = decodePeerMessage(bytes);
      if (message !== undefined && 'slots' in message && message.slots.up > 0) waiting.shift()?.();
    },
    closed: () => process.exit(1),
  });
  const slots = { up: 0, down: REQUESTS_EACH };
  const self = { id, role: 'node', host: '127.0.0.1', port: 1, zone: '' } as const;
  const hello = { protocol: PEER_PROTOCOL_VERSION, peer: self, clusterTimeMs: Date.now(), slots };
  link.send(encodePeerMessage({ type: 'hello', ...hello }));
  link.send(
    encodePeerMessage({ type: 'open', handle: 1, digest, size: info.size, pieceBytes: info.pieceBytes }),
  );
  for (let request = 0; request < REQUESTS_EACH; request++) void ask(network, id, waiting);
}
