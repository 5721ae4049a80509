import { run } from '../fixtures/child.ts';

/** A download by curl to /dev/null, the way people time one. */
export interface Download {
  readonly bytes: number;
  readonly seconds: number;
  readonly firstByteMs: number;
}

/** Longer than any download of a row on a machine fit to measure on. */
const TIMEOUT_MS = 600_000;

/** @throws Error when the answer is not 200, or breaks off */
export async function curl(url: string, more: readonly string[] = []): Promise<Download> {
  const format = '%{http_code} %{size_download} %{time_starttransfer} %{time_total}';
  const args = ['-sS', '-o', '/dev/null', '-w', format, ...more, url];
  const { code, output, stdout } = await run('curl', args, { timeoutMs: TIMEOUT_MS });
  const [status, bytes = 0, firstByte = 0, seconds = 0] = stdout.split(' ').map(Number);
  if (code !== 0 || status !== 200) throw new Error(`curl ${url}: ${output}`);
  return { bytes, seconds, firstByteMs: firstByte * 1000 };
}
