import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { SHARES_PATH } from '../../lib/wire/bittorrent-messages.ts';

export const OWNER = 'ab'.repeat(20);

/** Tells a tracker what a node shares. @returns the status of its answer */
export function putShares(
  base: string,
  shares: readonly { readonly infoHash: string; readonly passkey: string }[],
  { owner = OWNER, ...tls }: { readonly owner?: string } & RequestOptions = {},
): Promise<number | undefined> {
  const body = JSON.stringify({
    owner,
    shares: shares.map(({ infoHash, passkey }) => ({
      infoHash,
      passkeyHash: createHash('sha256').update(passkey).digest('hex'),
    })),
  });
  return put(base, body, tls);
}

export function put(base: string, body: string, tls: RequestOptions = {}): Promise<number | undefined> {
  const request = base.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(new URL(SHARES_PATH, base), { ...tls, method: 'PUT', agent: false }, (response) => {
      resolve(response.resume().statusCode);
    });
    sent.once('error', reject).end(body);
  });
}
