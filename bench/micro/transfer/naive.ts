import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { pieceLength, pieceOffset } from '../../../lib/core/geometry.ts';
import { PIECE_PATH } from '../../../lib/transfer/http/piece-request.ts';
import { inLanes, LANES, measured, type ReceiveJob } from './job.ts';
import type { Methods } from './part.ts';

/**
 * A receiver as one writes it at first: an HTTP client's stream, a hash that is fed each chunk, a write of each chunk,
 * and the digest of the whole blob from its file at the end.
 */
export const naiveReceiver: Methods = {
  connect: async (given: ReceiveJob) => {
    job = given;
    path = join(job.folder, 'naive');
    file = await open(path, 'w+');
  },
  run: () =>
    measured(async () => {
      const { info } = job!.source;
      await inLanes(info.pieces, receive);
      const whole = createHash('sha256');
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) whole.update(chunk);
      if (`sha256:${whole.digest('hex')}` !== info.digest) {
        throw new Error('the transfer brought another blob');
      }
      await file!.datasync();
    }),
};

const agent = new Agent({ connections: LANES });
let job: ReceiveJob | undefined;
let file: FileHandle | undefined;
let path = '';

async function receive(piece: number): Promise<void> {
  const { source, port } = job!;
  const { info, hashes } = source;
  let at = pieceOffset(info, piece);
  const end = at + pieceLength(info, piece);
  const response = await request(`http://127.0.0.1:${port}${PIECE_PATH}${info.digest}`, {
    dispatcher: agent,
    headers: { range: `bytes=${at}-${end - 1}`, 'damselfly-node': 'c'.repeat(40) },
  });
  const hash = createHash('sha256');
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    await file!.write(chunk, 0, chunk.length, at);
    at += chunk.length;
  }
  if (at !== end || !hash.digest().equals(hashes[piece]!)) throw new Error(`piece ${piece} is wrong`);
}
