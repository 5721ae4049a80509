import type { ServerResponse } from 'node:http';

/** Requests on a peer port whose answers carry bytes of blobs. */
const ASKS_FOR_BYTES = /^(GET \/v1\/blobs\/|POST \/v1\/small-blobs)/;

type Prototype = Pick<ServerResponse, 'end' | 'write'>;

/** From now on the first byte of each answer with bytes of blobs that is sent to a peer has one bit turned over. */
export function corruptAnswers(prototype: Prototype): void {
  const begun = new WeakSet<ServerResponse>();
  const spoil = (response: ServerResponse, chunk: unknown): unknown => {
    const { method = '', url = '' } = response.req;
    if (!(chunk instanceof Uint8Array) || chunk.length === 0 || begun.has(response)) return chunk;
    if (!ASKS_FOR_BYTES.test(`${method} ${url}`)) return chunk;
    begun.add(response);
    // What is on the disk, and in memory for others, stays right.
    const copy = Buffer.from(chunk);
    copy.writeUInt8(copy.readUInt8(0) ^ 1, 0);
    return copy;
  };
  for (const name of ['write', 'end'] as const) {
    const honest = prototype[name] as (...args: unknown[]) => unknown;
    Object.assign(prototype, {
      [name](this: ServerResponse, chunk: unknown, ...rest: unknown[]) {
        return honest.call(this, spoil(this, chunk), ...rest);
      },
    });
  }
}
