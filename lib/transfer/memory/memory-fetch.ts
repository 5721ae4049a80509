import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import {
  IDLE_UPLOAD_MS,
  type PeerServerHandlers,
  type PieceAdmission,
  type PieceFetchOptions,
  type PieceRequest,
} from '../seams.ts';
import type { MemoryMedium } from './memory-medium.ts';

/** What is carried at once: small enough that a slow sender still shows progress several times a second. */
const CHUNK_BYTES = 256 * 1024;

type Serve = Extract<PieceAdmission, { kind: 'serve' }>;

/** What the network knows of the serving side. */
export interface MemoryServer {
  readonly host: string;
  /** Undefined when nobody listens there (any more). */
  handlers(): PeerServerHandlers | undefined;
  /** Runs the action now, or when the host no longer stalls. */
  whenFlowing(action: () => void): void;
  /** Flips a bit when the host is to send wrong bytes. */
  spoil(chunk: Uint8Array): void;
}

/** A transfer under way. */
export interface MemoryFetch {
  /** Ends it at once; later calls do nothing. Without an error: it succeeded. */
  settle(error?: DamselflyError): void;
}

/**
 * Starts moving one piece: the request travels, the server admits, chunks follow each other through both hosts' wires.
 * @param settled called exactly once
 */
export function startMemoryFetch(
  hosts: { readonly from: string; readonly server: MemoryServer },
  deps: { readonly clock: Clock; readonly medium: MemoryMedium },
  transfer: {
    readonly request: PieceRequest;
    readonly into: Uint8Array;
    readonly onProgress: PieceFetchOptions['onProgress'];
    readonly pace: PieceFetchOptions['pace'];
  },
  settled: (error: DamselflyError | undefined) => void,
): MemoryFetch {
  const { server } = hosts;
  const { clock, medium } = deps;
  const { request, into, onProgress, pace } = transfer;
  const toServer = medium.channel(hosts.from, server.host);
  const toClient = medium.channel(server.host, hosts.from);
  let over = false;
  let receivedBytes = 0;
  let sentBytes = 0;
  let release: ((sentBytes: number) => void) | undefined;
  let idle = false;
  let cancelWatch = (): void => {};

  const releaseSlot = (): void => {
    cancelWatch();
    const done = release;
    release = undefined;
    done?.(sentBytes);
  };

  const settle = (error?: DamselflyError): void => {
    if (over) return;
    over = true;
    releaseSlot();
    settled(error);
  };

  const answerWith = (
    code: 'PEER_BUSY' | 'BLOB_UNKNOWN' | 'PEER_UNREACHABLE',
    message: string,
    facts = {},
  ): void => {
    toClient.carry(0, () => settle(new DamselflyError(code, message, facts)));
  };

  /** The timers of a machine may fire in another order than they are due, so that chunks come in any order. */
  const arrived = (chunk: Uint8Array, at: number): void => {
    if (over) return;
    into.set(chunk, at);
    receivedBytes += chunk.length;
    onProgress?.(receivedBytes);
    if (receivedBytes === into.length) settle();
  };

  /** Tells the server when the receiver does not take the chunk that is being sent; a full uplink is not its fault. */
  const watch = (admission: Serve): void => {
    if (idle) return;
    cancelWatch = clock.after(IDLE_UPLOAD_MS, () => {
      idle = medium.partitioned(hosts.from, server.host);
      if (idle) admission.idle();
      else watch(admission);
    });
  };

  const sendNext = (admission: Serve): void => {
    server.whenFlowing(() => {
      if (over) return;
      const most = Math.min(CHUNK_BYTES, into.length - sentBytes);
      const paces = [admission.pace, pace];
      const at = sentBytes;
      const chunk = new Uint8Array(Math.min(most, ...paces.map((each) => each?.quantumBytes ?? most)));
      const sent = (): void => {
        cancelWatch();
        if (over) return;
        sentBytes += chunk.length;
        if (sentBytes === into.length) releaseSlot();
        else sendNext(admission);
      };
      // The receiver's turn comes before its bytes do: what it has not taken is not sent.
      const turns = Promise.all(paces.flatMap((each) => each?.take(chunk.length) ?? []));
      const read = (): Promise<void> => admission.read(request.range.start + at, chunk);
      turns.then(read).then(
        () => {
          if (over) return;
          if (at === 0) server.spoil(chunk);
          watch(admission);
          toClient.carry(chunk.length, () => arrived(chunk, at), sent);
        },
        () => answerWith('PEER_UNREACHABLE', 'the peer ended the transfer'),
      );
    });
  };

  toServer.carry(0, () => {
    const handlers = server.handlers();
    if (over) return;
    if (handlers === undefined) {
      answerWith('PEER_UNREACHABLE', 'nobody listens there');
      return;
    }
    const { from, digest, range } = request;
    const admission = handlers.piece({ from, digest, range });
    if (admission.kind === 'busy') {
      answerWith('PEER_BUSY', 'the peer has no free upload slot', { freeSlots: admission.freeSlots });
    } else if (admission.kind === 'unknown') {
      answerWith('BLOB_UNKNOWN', 'the peer does not have the blob');
    } else {
      release = (bytes) => admission.done(bytes);
      if (range.end > admission.size) {
        releaseSlot();
        settle(new DamselflyError('PEER_PROTOCOL', 'the range lies outside the blob'));
      } else {
        sendNext(admission);
      }
    }
  });
  return { settle };
}
