import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseDigest } from '../../lib/core/digest.ts';
import { openLevelKeyValue } from '../../lib/store/key-value/level-key-value.ts';
import { blobPath, ingestPath, recordsFolder } from '../../lib/store/path.ts';

/** A complete blob in pieces of 4 bytes, and one of which pieces 1 and 4 are held. */
export const WHOLE = {
  text: 'complete blob',
  digest: parseDigest('sha256:2941f01f2352f43266d30a447fda8a688b7d4e53ea244372ec9eae9c945451a6'),
};
export const PARTIAL = {
  text: 'a partial one, of some',
  digest: parseDigest('sha256:9aadeeade7527c9b203b71ffdd4247017be8d49ecb4672cd739da142fc158d43'),
};

const REST = `00112233445566ff00${'00'.repeat(64)}`;
/** As the last version of layout 1 wrote them. */
export const RECORDS: Readonly<Record<string, string>> = {
  [`blob/${WHOLE.digest}`]: '0102040000000d0000000000000000008056febc7842',
  [`blob/${PARTIAL.digest}`]: '010104000000160000000000000000008056febc784212',
  [`piece/${WHOLE.digest}/000000`]: `f562267f2b6d890a7c0cb8c0e57ddbc0365082e28a7e3dd02068b3b7d91712d2${REST}`,
  [`piece/${WHOLE.digest}/000001`]: `8dd48ad1c8bdefb696a8c3b84d4ef6eecd3dfd3be47d77e6952f68fa59a497a8${REST}`,
  [`piece/${WHOLE.digest}/000002`]: `e039fac19b81e5c9546f54648e17dec32bcaf4ce1c4e8212f299087c2ad49756${REST}`,
  [`piece/${WHOLE.digest}/000003`]: `3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d${REST}`,
  [`piece/${PARTIAL.digest}/000001`]: `f2585fea2b21516ef423ee4896461852f4df62b504a718c2b585b5348691e5d7${REST}`,
  [`piece/${PARTIAL.digest}/000004`]: `3bfa27848e40a95af35b1d99b8bbe07da591d3313c0bb3844b63e7e61140af7f${REST}`,
};

/** Makes the folder one that a version with layout 1 left behind. */
export async function writeLayout1(folder: string): Promise<void> {
  const partial = Buffer.alloc(PARTIAL.text.length);
  for (const index of [1, 4]) partial.write(PARTIAL.text.slice(index * 4, index * 4 + 4), index * 4);
  for (const [path, bytes] of [
    [blobPath(folder, WHOLE.digest), Buffer.from(WHOLE.text)],
    [ingestPath(folder, PARTIAL.digest), partial],
  ] as const) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  const records = await openLevelKeyValue(recordsFolder(folder));
  await records.batch(
    Object.entries(RECORDS).map(([key, hex]) => ({ type: 'put', key, value: Buffer.from(hex, 'hex') })),
    { sync: true },
  );
  await records.close();
}

export async function recordsOf(folder: string): Promise<Record<string, string>> {
  const records = await openLevelKeyValue(recordsFolder(folder));
  const found: Record<string, string> = {};
  for await (const [key, value] of records.entries('')) found[key] = Buffer.from(value).toString('hex');
  await records.close();
  return found;
}

export const VERSION_FILE = (folder: string): string => join(folder, 'version');
