import { isDigest } from '../../../lib/core/digest.ts';
import { archiveIndex } from '../../../lib/oci/archive/image-layout.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../../lib/oci/manifest.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: 5, urls: ['https://x/y'] };
const annotations = { 'io.containerd.image.name': 'harbor.corp/a:v1' };
const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };

export const target: FuzzTarget = {
  about: 'manifests and indexes of registries, and the index.json of archives',
  parsers: { 'lib/oci/manifest.ts': ['*'], 'lib/oci/archive/image-layout.ts': ['archiveIndex'] },
  form: 'json',
  corpus: [
    JSON.stringify({ schemaVersion: 2, mediaType: 'm', config: layer, layers: [layer, layer] }),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...layer, platform, annotations }] }),
    JSON.stringify({ layers: [{ digest: 'sha256:1', size: 1 }, { digest, size: -1 }, null, 7] }),
    JSON.stringify({
      manifests: [{ digest, size: 1, platform: { os: '' }, urls: [7], annotations: { a: 7 } }],
    }),
    '[]',
    '{"layers":{}}',
    Buffer.from([0xff, 0xfe]),
  ],
  beyond: [' '.repeat(MAX_MANIFEST_BYTES + 1)],
  maxBytes: 256 * 1024,
  refuses: ['UPSTREAM_BROKEN'],
  parse: (input) => {
    const manifest = parseManifest(input);
    const listed =
      manifest.kind === 'image' ? manifest.layers : manifest.kind === 'index' ? manifest.manifests : [];
    promise(
      listed.every(({ digest, size }) => isDigest(digest) && Number.isSafeInteger(size) && size >= 0),
      'descriptors have a digest and a size',
    );
    archiveIndex(input);
  },
};
