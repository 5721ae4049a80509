import { run } from '../fixtures/child.ts';

/** A download by curl to /dev/null, the way people time one. */
export interface Download {
  readonly bytes: number;
  readonly seconds: number;
  readonly firstByteMs: number;
}

/** @throws Error when the answer is not 200, or breaks off */
export async function curl(url: string): Promise<Download> {
  const format = '%{http_code} %{size_download} %{time_starttransfer} %{time_total}';
  const { code, output, stdout } = await run('curl', ['-sS', '-o', '/dev/null', '-w', format, url]);
  const [status, bytes = 0, firstByte = 0, seconds = 0] = stdout.split(' ').map(Number);
  if (code !== 0 || status !== 200) throw new Error(`curl ${url}: ${output}`);
  return { bytes, seconds, firstByteMs: firstByte * 1000 };
}
