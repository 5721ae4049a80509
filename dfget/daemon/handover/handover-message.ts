import { z } from 'zod';

/** Longest line of a handover; messages have some hundred characters. */
export const MAX_LINE_CHARS = 64 * 1024;
const MAX_MESSAGE_CHARS = 4096;
const MAX_VERSION_CHARS = 256;

const message = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('take'),
    pid: z.int().min(1),
    version: z.string().max(MAX_VERSION_CHARS),
  }),
  z.object({ type: z.literal('released') }),
  z.object({ type: z.literal('serving') }),
  z.object({ type: z.literal('refused'), message: z.string().max(MAX_MESSAGE_CHARS) }),
]);

/** What two daemons say to each other, a line of JSON each. */
export type HandoverMessage =
  /** New to old: all is checked; leave store, ports of peers and admin to me. */
  | { readonly type: 'take'; readonly pid: number; readonly version: string }
  /** Old to new: they are free. */
  | { readonly type: 'released' }
  /** New to old: clients, peers and commands are served. */
  | { readonly type: 'serving' }
  /** Old to new: end, I go on. */
  | { readonly type: 'refused'; readonly message: string };

/** @returns undefined for what no daemon says */
export function decodeHandover(line: string): HandoverMessage | undefined {
  if (line.length > MAX_LINE_CHARS) return undefined;
  try {
    return message.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
