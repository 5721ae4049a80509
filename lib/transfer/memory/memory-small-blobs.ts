import { DamselflyError } from '../../core/errors.ts';
import type { SmallBlobsAnswer, SmallBlobsRequest } from '../seams.ts';
import type { MemoryFetch, MemoryServer } from './memory-fetch.ts';
import type { MemoryMedium } from './memory-medium.ts';

/** What is on the wire when whoever asked gives up. */
const CHUNK_BYTES = 16 * 1024;

/**
 * One question for small blobs: it travels, the server answers, the bytes follow through both hosts' wires.
 * @param settled called exactly once
 */
export function startMemorySmallBlobs(
  hosts: { readonly from: string; readonly server: MemoryServer; readonly fingerprint: string | undefined },
  { medium }: { readonly medium: MemoryMedium },
  { address: _, ...asked }: SmallBlobsRequest,
  settled: (error: DamselflyError | undefined, answer: SmallBlobsAnswer) => void,
): MemoryFetch {
  const { fingerprint, from, server } = hosts;
  const request = { ...asked, ...(fingerprint === undefined ? {} : { fingerprint }) };
  const toClient = medium.channel(server.host, from);
  const gone = new AbortController();
  let over = false;

  const settle = (error?: DamselflyError, answer: SmallBlobsAnswer = []): void => {
    if (over) return;
    over = true;
    gone.abort();
    settled(error, answer);
  };
  const broken = (): void => settle(new DamselflyError('PEER_UNREACHABLE', 'the peer did not answer'));

  const send = (answer: SmallBlobsAnswer): void => {
    if (over) return;
    const copies = answer.map((bytes) => (bytes === undefined ? undefined : Uint8Array.from(bytes)));
    const held = copies.filter((bytes) => bytes !== undefined);
    server.whenFlowing(() => {
      for (const bytes of held) server.spoil(bytes);
      carry(
        held.reduce((sum, { length }) => sum + length, 0),
        copies,
      );
    });
  };

  /** One chunk after the other, for as long as somebody waits for the last one. */
  const carry = (bytes: number, answer: SmallBlobsAnswer): void => {
    if (over) return;
    if (bytes <= CHUNK_BYTES) toClient.carry(bytes, () => settle(undefined, answer));
    else {
      toClient.carry(
        CHUNK_BYTES,
        () => {},
        () => carry(bytes - CHUNK_BYTES, answer),
      );
    }
  };

  medium.channel(from, server.host).carry(0, () => {
    const handlers = server.handlers();
    if (over) return;
    if (handlers === undefined) {
      toClient.carry(0, broken);
      return;
    }
    const nothing = request.blobs.map(() => undefined);
    const answering = handlers.smallBlobs?.(request, { signal: gone.signal }) ?? Promise.resolve(nothing);
    answering.then(send, broken);
  });
  return { settle: (error) => settle(error) };
}
