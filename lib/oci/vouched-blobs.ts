import { type Descriptor, parseManifest } from './manifest.ts';
import { isForeignLayer } from './media-types.ts';

/**
 * Blobs that a manifest vouches for: whoever may read it may read them. Not those whose bytes live elsewhere: a registry
 * lets anyone list such a digest without having it, and reading one's own manifest must not open another's blob.
 */
export function vouchedBlobs(body: Uint8Array): Descriptor[] {
  const manifest = parseManifest(body);
  if (manifest.kind !== 'image') return [];
  const blobs = manifest.config === undefined ? manifest.layers : [manifest.config, ...manifest.layers];
  return blobs.filter(({ urls, mediaType }) => urls === undefined && !isForeignLayer(mediaType));
}
