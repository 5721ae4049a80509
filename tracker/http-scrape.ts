import { NOT_SHARED } from './announce-gate.ts';
import { ANNOUNCE_INTERVAL_MS, type BittorrentSwarms } from './bittorrent-swarms.ts';

const INFO_HASH_BYTES = 20;

/**
 * The bencoded answer to an HTTP scrape (BEP 48). Ours, because the library writes info hashes as UTF-8 text, which no
 * standard client can read back.
 * @param query what follows the question mark
 * @param isVisible whether the one who asks may know of the torrent; others are left out
 */
export function httpScrape(
  query: string,
  swarms: BittorrentSwarms,
  isVisible: (infoHash: string) => boolean,
): Buffer {
  const hashes = query
    .split('&')
    .filter((field) => field.startsWith('info_hash='))
    .map((field) => percentDecoded(field.slice('info_hash='.length)));
  // Without a hash a scrape lists everything that is shared here, which is nobody's business.
  if (hashes.length === 0) return failure('scrape needs an info_hash');
  if (hashes.some((hash) => hash.length !== INFO_HASH_BYTES)) return failure('invalid info_hash');
  // Bencoded dictionaries are sorted by their raw keys, which the order of hex digits is as well.
  const visible = new Set(hashes.map((hash) => hash.toString('hex')).filter(isVisible));
  if (visible.size === 0) return failure(NOT_SHARED);
  const files = [...visible].sort().map((infoHash) => {
    const { complete, incomplete } = swarms.counts(infoHash);
    const counts = `d8:completei${complete}e10:downloadedi${complete}e10:incompletei${incomplete}ee`;
    return `${INFO_HASH_BYTES}:${Buffer.from(infoHash, 'hex').toString('latin1')}${counts}`;
  });
  const flags = `d20:min_request_intervali${ANNOUNCE_INTERVAL_MS / 1000}ee`;
  return Buffer.from(`d5:filesd${files.join('')}e5:flags${flags}e`, 'latin1');
}

/** A refusal as clients read it (BEP 3). */
function failure(reason: string): Buffer {
  return Buffer.from(`d14:failure reason${reason.length}:${reason}e`);
}

/** Raw bytes: info hashes are not text, so decodeURIComponent would refuse them. */
function percentDecoded(text: string): Buffer {
  const latin1 = text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1');
}
