import { isTag } from '../../../lib/oci/names.ts';
import { isLayoutMarker, LayoutIndex } from '../../../lib/origin/layout/layout-index.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const entry = (annotations: object): object => ({ mediaType: 'm', digest, size: 5, annotations });
const REF = 'org.opencontainers.image.ref.name';
const NAME = 'io.containerd.image.name';
const REPOSITORY = 'team/app';

export const target: FuzzTarget = {
  about: 'index.json and oci-layout of a folder of images that somebody else wrote',
  parsers: { 'lib/origin/layout/layout-index.ts': ['*'] },
  form: 'json',
  corpus: [
    JSON.stringify({ manifests: [entry({ [REF]: 'v1' }), entry({ [NAME]: 'a.corp:5/team/app:v2' })] }),
    JSON.stringify({ manifests: [entry({ [REF]: 'team/app' }), entry({ [REF]: 'app:v1' })] }),
    JSON.stringify({ manifests: [entry({})] }),
    '{"imageLayoutVersion":"1.0.0"}',
    '{"imageLayoutVersion":"2"}',
    '{',
  ],
  parse: (input) => {
    if (isLayoutMarker(input)) return;
    const index = LayoutIndex.parse(input);
    if (index === undefined) return;
    for (const tag of index.tags(REPOSITORY)) {
      promise(isTag(tag), 'a tag is a tag');
      promise(index.find(REPOSITORY, tag) !== undefined, 'what is listed is found');
    }
  },
};
