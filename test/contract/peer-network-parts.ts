import type { Pace } from '../../lib/runtime/rate-limit.ts';
import type { Link, PieceAdmission } from '../../lib/transfer/seams.ts';

type Serve = Extract<PieceAdmission, { kind: 'serve' }>;

export const NEVER = new AbortController().signal;
const DEADLINE_MS = 10_000;

/** Bytes that differ at every offset that matters: no shifted or repeated chunk looks right. */
export function patternBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 17 + (i >>> 16) * 7) & 0xff;
  return bytes;
}

/** Fails the test when the promise does not settle in time. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing happened in time`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise and what settles it. */
export function defer<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  return Promise.withResolvers<T>();
}

/** A pace that lets so many takes pass, and what follows only after `goOn`. */
export function gatedPace(quantumBytes: number, free: number) {
  const taken: number[] = [];
  const gate = defer<void>();
  const stopped = defer<void>();
  const pace: Pace = {
    quantumBytes,
    take(bytes) {
      taken.push(bytes);
      if (taken.length <= free) return undefined;
      stopped.resolve();
      return gate.promise;
    },
  };
  return { pace, taken, stopped: stopped.promise, goOn: () => gate.resolve() };
}

/** A served blob that notes what was sent of it. */
export function servedBlob(
  bytes: Uint8Array,
): Serve & { readonly sent: number[]; readonly ended: Promise<number>; readonly idled: number[] } {
  const sent: number[] = [];
  /** Responses that had ended when it was told that nobody takes the bytes. */
  const idled: number[] = [];
  const ended = defer<number>();
  return {
    kind: 'serve',
    size: bytes.length,
    sent,
    ended: ended.promise,
    idled,
    idle: () => void idled.push(sent.length),
    async read(offset, into) {
      into.set(bytes.subarray(offset, offset + into.length));
    },
    done(sentBytes) {
      sent.push(sentBytes);
      ended.resolve(sentBytes);
    },
  };
}

/** What one end of a link heard. */
export function listenTo(link: Link): {
  readonly messages: string[];
  readonly closed: Promise<string>;
  closings: number;
} {
  const closed = defer<string>();
  const heard = { messages: [] as string[], closed: closed.promise, closings: 0 };
  link.listen({
    message: (message) => void heard.messages.push(Buffer.from(message).toString()),
    closed(reason) {
      heard.closings++;
      closed.resolve(reason);
    },
  });
  return heard;
}
