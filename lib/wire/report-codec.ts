import { z } from 'zod';
import { isBlobKey } from '../core/digest.ts';
import { MAX_BLOB_BYTES } from '../core/geometry.ts';
import { CAUSES } from '../observe/where-time-went.ts';
import {
  MAX_REPORT_BANS,
  MAX_REPORT_BLOBS,
  MAX_REPORT_MS,
  MAX_REPORT_SENDERS,
  MAX_WATCH_MS,
  MIN_REPORT_MS,
} from './report-messages.ts';

const MAX_HANDLE = 2 ** 31;
const MAX_TEXT_CHARS = 64;

const count = z.int().min(0);
const handle = count.max(MAX_HANDLE);
const peerId = z.string().regex(/^[0-9a-f]{40}$/);
/** Names of ours: nothing that means something in a page. */
const word = z
  .string()
  .max(MAX_TEXT_CHARS)
  .regex(/^[0-9A-Za-z._+-]*$/);
const digest = z.string().refine(isBlobKey, 'not a digest');

export const watch = z.object({
  type: z.literal('watch'),
  everyMs: count.min(MIN_REPORT_MS).max(MAX_REPORT_MS),
  forMs: count.max(MAX_WATCH_MS),
  fresh: z.literal(true).exactOptional(),
});

export const report = z.object({
  type: z.literal('report'),
  fresh: z.literal(true).exactOptional(),
  version: word.exactOptional(),
  bytes: z.object({
    origin: count,
    supernode: count,
    peer: count,
    archive: count,
    // Members of an earlier version do not tell it.
    objectStore: count.default(0),
    toPeers: count,
    toClients: count,
  }),
  blobs: z
    .array(
      z.object({
        handle,
        digest: digest.exactOptional(),
        size: count.max(MAX_BLOB_BYTES).exactOptional(),
        pieces: count.exactOptional(),
        held: count,
        readers: count,
      }),
    )
    .max(MAX_REPORT_BLOBS),
  gone: z.array(handle).max(MAX_REPORT_BLOBS),
  from: z.array(z.tuple([peerId, count])).max(MAX_REPORT_SENDERS),
  slow: z
    .object({
      cause: z.enum(CAUSES),
      on: z.union([peerId, z.literal('registry')]).exactOptional(),
      ms: count,
      ofMs: count,
    })
    .exactOptional(),
  bans: z.array(z.object({ peer: peerId, reason: word })).max(MAX_REPORT_BANS),
});
