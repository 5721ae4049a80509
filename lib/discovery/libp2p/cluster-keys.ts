import { createHmac, hkdfSync } from 'node:crypto';
import type { Digest } from '../../core/digest.ts';
import type { BlobKey } from '../../wire/member-codec.ts';

const KEY_BYTES = 32;
/** Of the mDNS service name, which may have 15 (RFC 6763 section 7.2): clusters on one LAN need not meet. */
const TAG_CHARS = 8;

/** What follows from the key that all processes of a cluster have in common. */
export interface ClusterKeys {
  /** 32 bytes: who has another one cannot even speak to us (libp2p private networks). */
  readonly network: Uint8Array;
  /** Service that members look for on their LAN. */
  readonly lanService: string;
  /** Key of a blob's provider records: tells nothing of the digest to whoever does not have the cluster's key. */
  blob(digest: Digest): BlobKey;
  /** Key of the records of supernodes. */
  readonly supernodes: BlobKey;
}

/** @param clusterKey any text; the longer and less guessable, the better */
export function clusterKeys(clusterKey: string): ClusterKeys {
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', clusterKey, '', `damselfly ${purpose}`, KEY_BYTES));
  const records = derive('provider records');
  const hmac = (text: string): BlobKey => createHmac('sha256', records).update(text).digest('hex');
  const tag = Buffer.from(derive('lan service')).toString('hex').slice(0, TAG_CHARS);
  return {
    network: derive('private network'),
    lanService: `_dfly-${tag}._udp.local`,
    blob: (digest) => hmac(`blob ${digest}`),
    supernodes: hmac('supernodes'),
  };
}
