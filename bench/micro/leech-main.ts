/**
 * A peer that takes every piece of a blob from one node as it comes to hold it, and keeps nothing: `--peer HOST:PORT
 * --digest D --bytes N`. What a node under load has for neighbours, without a disk for each. Prints a JSON line when it
 * is linked; ends when it has all pieces.
 */
import { parseArgs } from 'node:util';
import { type Digest, pieceHash } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import { blobInfo, pieceLength, pieceOffset } from '../../lib/core/geometry.ts';
import { sameBytes } from '../../lib/core/proof.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { randomHex } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { decodePeerMessage, encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { PEER_PROTOCOL_VERSION, type PeerMessage } from '../../lib/wire/peer-messages.ts';
import { parseAddress } from '../fixtures/address.ts';

const AT_ONCE = 2;
const HANDLE = 1;
/** A node that has no slot free says when it has, but not to those who never asked for one. */
const BUSY_MS = 20;

const { values } = parseArgs({
  options: { peer: { type: 'string' }, digest: { type: 'string' }, bytes: { type: 'string' } },
});
const address = parseAddress(values.peer ?? '');
const info = blobInfo(values.digest as Digest, Number(values.bytes));
const clock = createSystemClock();
const network = createHttpPeerNetwork({ clock, log: silentLog() });
const id = randomHex(createSystemRng(), 20);
const { signal } = new AbortController();
const proofs = new Map<number, Uint8Array>();
const known: number[] = [];
let wake = (): void => {};
let left = info.pieces;

const link = await network.dial(address, { signal });
const say = (message: PeerMessage): void => link.send(encodePeerMessage(message));
const slots = { up: 0, down: AT_ONCE };
const peer = { id, role: 'node', host: '127.0.0.1', port: 1, zone: '' } as const;
say({ type: 'hello', protocol: PEER_PROTOCOL_VERSION, peer, clusterTimeMs: Date.now(), slots });
say({ type: 'open', handle: HANDLE, ...info });
link.listen({
  closed: (reason) => {
    if (left > 0) throw new Error(`the node ended the link: ${reason}`);
  },
  message: (bytes) => {
    const message = decodePeerMessage(bytes);
    if (message?.type === 'open') process.stdout.write(`${JSON.stringify({ process: 'leech' })}\n`);
    if (message?.type !== 'have') return;
    for (const { hash, index } of message.proofs) {
      if (!proofs.has(index)) known.push(index);
      proofs.set(index, hash);
    }
    wake();
  },
});

async function lane(): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(info.pieceBytes);
  while (left > 0) {
    const piece = known.shift();
    if (piece === undefined) {
      await new Promise<void>((resolve) => {
        const before = wake;
        wake = () => {
          before();
          resolve();
        };
      });
      continue;
    }
    const start = pieceOffset(info, piece);
    const into = buffer.subarray(0, pieceLength(info, piece));
    const range = { start, end: start + into.length };
    try {
      await network.fetch({ address, from: id, digest: info.digest, range }, into, { signal });
    } catch (error) {
      if (!hasCode(error, 'PEER_BUSY')) throw error;
      known.push(piece);
      await new Promise<void>((resolve) => void clock.after(BUSY_MS, resolve));
      continue;
    }
    if (!sameBytes(pieceHash(into), proofs.get(piece) ?? new Uint8Array())) throw new Error('a wrong piece');
    if (--left === 0) wake();
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, lane));
process.exit(0);
