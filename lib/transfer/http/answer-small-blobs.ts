import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  bytesOf,
  decodeSmallQuestion,
  encodeHeld,
  MAX_SMALL_QUESTION_BYTES,
} from '../../wire/small-blobs-codec.ts';
import type { PeerServerHandlers, SmallBlobsAnswer } from '../seams.ts';
import { isFrom, memberOf } from './peer-member.ts';
import { NODE_HEADER } from './piece-request.ts';
import { HELD_HEADER } from './small-blobs-http.ts';

/** Answers being read and sent at once: the memory that all askers together can make a process take. */
const MAX_ANSWERS_BYTES = 16 * 1024 * 1024;
/** An asker that does not take its answer is cut off. */
const SEND_STALL_MS = 5000;

/** Answers questions for small blobs on the peer port. */
export type SmallBlobsAnswerer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export function createSmallBlobsAnswerer(handler: PeerServerHandlers['smallBlobs']): SmallBlobsAnswerer {
  let takenBytes = 0;
  return async (request, response) => {
    const question = decodeSmallQuestion(await readBody(request).catch(() => ''));
    const from = String(request.headers[NODE_HEADER.toLowerCase()] ?? '');
    if (question === undefined || !/^[\w-]{1,64}$/.test(from)) {
      return refuse(response, 400);
    }
    if (!isFrom(request.socket, from)) return refuse(response, 404);
    if (response.destroyed) return;
    const bytes = bytesOf(question.blobs);
    if (takenBytes + bytes > MAX_ANSWERS_BYTES) return refuse(response, 503);
    takenBytes += bytes;
    const gone = new AbortController();
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    void closed.then(() => {
      takenBytes -= bytes;
      gone.abort();
    });
    if (handler === undefined) return refuse(response, 404);
    const fingerprint = memberOf(request.socket)?.fingerprint;
    const answer = await handler(
      { ...question, from, ...(fingerprint === undefined ? {} : { fingerprint }) },
      { signal: gone.signal },
    );
    if (!response.destroyed) send(response, answer);
  };
}

function send(response: ServerResponse, answer: SmallBlobsAnswer): void {
  const held = answer.filter((bytes) => bytes !== undefined);
  response.setTimeout(SEND_STALL_MS, () => response.destroy());
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': held.reduce((sum, { length }) => sum + length, 0),
    [HELD_HEADER]: encodeHeld(answer),
  });
  response.end(held.length === 1 ? held[0] : Buffer.concat(held));
}

/** The text of the request; empty when it is too long to be a question. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_SMALL_QUESTION_BYTES) return '';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function refuse(response: ServerResponse, status: number): void {
  const close = status === 400 ? { Connection: 'close' } : {};
  response.writeHead(status, { 'Content-Length': 0, ...close });
  response.end();
}
