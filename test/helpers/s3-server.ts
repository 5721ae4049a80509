import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import { parseS3Address } from '../../lib/core/s3-address.ts';
import { openS3 } from '../../lib/objects/s3/s3-object-store.ts';

export interface S3Server {
  /** For `--blob-store`. */
  readonly url: string;
  readonly bucket: string;
  /** A second call is harmless. */
  close(): Promise<void>;
}

/** Its only user; for the environment of whoever speaks to it. */
export const S3_CREDENTIALS = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' } as const;

/** A small S3 server with one bucket, which checks signatures. @param listen port 0 is a free one */
export async function startS3(listen = { host: '127.0.0.1', port: 0 }): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-s3-'));
  const bucket = 'blobs';
  const options = { address: listen.host, port: listen.port, silent: true, directory: folder };
  const server = new S3rver({ ...options, configureBuckets: [{ name: bucket, configs: [] }] });
  const { port } = await server.run();
  let closed = false;
  return {
    url: `s3://${bucket}/cluster?endpoint=http://${listen.host}:${port}`,
    bucket,
    async close() {
      if (closed) return;
      closed = true;
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Puts the files of a folder into the bucket, under their names in the folder. */
export async function uploadFolder({ url }: S3Server, folder: string): Promise<void> {
  const { signal } = new AbortController();
  const objects = await openS3(parseS3Address(url)!);
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = join(file.parentPath, file.name);
    await objects.put(path.slice(folder.length + 1), await readFile(path), { signal });
  }
  objects.close();
}
