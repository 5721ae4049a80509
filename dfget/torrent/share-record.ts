import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest } from '../../lib/core/digest.ts';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { writeWhole } from '../../lib/security/system/secret-files.ts';
import type { Part } from './shared-content.ts';

/** What is kept of a shared file, so that sharing goes on after a restart and nothing is hashed twice. */
export interface ShareRecord {
  readonly infoHash: string;
  readonly source: string;
  readonly name: string;
  readonly size: number;
  readonly pieceBytes: number;
  readonly digest: string;
  readonly announce: readonly string[];
  readonly passkey: string;
  /** Blobs that were not pinned before. */
  readonly pinned: readonly Digest[];
  readonly parts: readonly Part[];
  /** The bytes of the `.torrent` file. */
  readonly torrent: Uint8Array;
}

const digest = z.string().refine(isDigest);
const bytes = z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')));
const stored = z.object({
  infoHash: z.string().regex(/^[0-9a-f]{40}$/),
  source: z.string(),
  name: z.string(),
  size: z.int().min(0),
  pieceBytes: z.int().min(1),
  digest: z.string(),
  announce: z.array(z.string()),
  passkey: z.string(),
  pinned: z.array(digest),
  parts: z.array(
    z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('blob'), digest, size: z.int().min(0) }),
      z.object({ kind: z.literal('bytes'), bytes }),
    ]),
  ),
  torrent: bytes,
});

const base64 = (value: Uint8Array): string => Buffer.from(value).toString('base64');
const fileOf = (folder: string, infoHash: string): string => join(folder, `${infoHash}.json`);

/** @throws CONFIG_INVALID when it cannot be written */
export async function writeShare(folder: string, record: ShareRecord): Promise<void> {
  const parts = record.parts.map((part) =>
    part.kind === 'bytes' ? { ...part, bytes: base64(part.bytes) } : part,
  );
  const text = JSON.stringify({ ...record, parts, torrent: base64(record.torrent) });
  // It holds the passkey.
  await writeWhole(fileOf(folder, record.infoHash), `${text}\n`, 0o600);
}

export async function removeShare(folder: string, infoHash: string): Promise<void> {
  await rm(fileOf(folder, infoHash), { force: true });
}

/** All that are kept; one that cannot be read is left out, and said. */
export async function readShares(folder: string, log: Logger): Promise<ShareRecord[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort();
  const records: ShareRecord[] = [];
  for (const name of names) {
    try {
      records.push(decodeShare(await readFile(join(folder, name), 'utf8')));
    } catch (error) {
      log.error({ name, error: describeError(error) }, 'a shared torrent cannot be read, and is not shared');
    }
  }
  return records;
}

/** @throws Error when it is none */
export function decodeShare(text: string): ShareRecord {
  return stored.parse(JSON.parse(text));
}
