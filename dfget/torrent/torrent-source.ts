import { readFile, stat } from 'node:fs/promises';
import { abortedError, DamselflyError, describeError } from '../../lib/core/errors.ts';

/** A torrent of 1 TiB in our pieces has 5 MiB. */
const MAX_TORRENT_BYTES = 32 * 1024 * 1024;
const FETCH_MS = 30_000;

/** Whether a name on the command line means a torrent: a magnet link, or a file or a URL that ends in `.torrent`. */
export function isTorrent(name: string): boolean {
  if (/^magnet:/i.test(name)) return true;
  return /\.torrent$/i.test(/^https?:/i.test(name) && URL.canParse(name) ? new URL(name).pathname : name);
}

/**
 * The magnet link, or the bytes of the `.torrent` file.
 * @param authority PEM of who vouches for an HTTPS server, besides those that everybody believes
 * @throws FILE_FAILED when it cannot be read; UPSTREAM_UNREACHABLE, UPSTREAM_REFUSED, UPSTREAM_BROKEN; ABORTED
 */
export async function readTorrent(
  name: string,
  { authority, signal }: { readonly authority?: string | undefined; readonly signal: AbortSignal },
): Promise<string | Uint8Array> {
  if (/^magnet:/i.test(name)) return name;
  if (/^https?:/i.test(name)) return await download(name, authority, signal);
  try {
    if ((await stat(name)).size > MAX_TORRENT_BYTES) throw new Error('it is larger than any torrent');
    return await readFile(name);
  } catch (error) {
    const message = `${name} cannot be read: ${describeError(error)}`;
    throw new DamselflyError('FILE_FAILED', message, { path: name });
  }
}

async function download(
  url: string,
  authority: string | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { Agent, request } = await import('undici');
  const { rootCertificates } = await import('node:tls');
  const connect = authority === undefined ? {} : { connect: { ca: [...rootCertificates, authority] } };
  const dispatcher = new Agent({ ...connect, headersTimeout: FETCH_MS, bodyTimeout: FETCH_MS });
  try {
    const { body, statusCode } = await request(url, { dispatcher, signal });
    if (statusCode !== 200) {
      throw new DamselflyError('UPSTREAM_REFUSED', `${url}: status ${statusCode}`, { status: statusCode });
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > MAX_TORRENT_BYTES) {
        throw new DamselflyError('UPSTREAM_BROKEN', `${url}: larger than any torrent`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    if (error instanceof DamselflyError) throw error;
    throw new DamselflyError('UPSTREAM_UNREACHABLE', `${url}: ${describeError(error)}`, {}, { cause: error });
  } finally {
    await dispatcher.destroy();
  }
}
