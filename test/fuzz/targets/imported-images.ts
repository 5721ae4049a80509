import { decodeImages } from '../../../dfget/daemon/imported-images.ts';
import { isDigest } from '../../../lib/core/digest.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const image = {
  ...{ image: 'harbor.corp/app:v1', upstream: 'harbor.corp', repository: 'app', tag: 'v1', digest },
  ...{ manifests: [{ digest, size: 5, mediaType: 'm' }], blobs: [{ digest, size: 7 }] },
};

export const target: FuzzTarget = {
  about: 'the list of images that came from archives',
  parsers: { 'dfget/daemon/imported-images.ts': ['decodeImages'] },
  form: 'json',
  corpus: [JSON.stringify([image, { ...image, tag: undefined }]), '[{}]', '{'],
  parse: (input) => {
    for (const { blobs, manifests } of decodeImages(input.toString()) ?? []) {
      promise(
        [...blobs, ...manifests].every((each) => isDigest(each.digest) && each.size >= 0),
        'what an image is made of has digests and sizes',
      );
    }
  },
};
