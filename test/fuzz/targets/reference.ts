import { formatReference, parseReference } from '../../../lib/oci/reference.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'the name of an image, as people and archives write it',
  parsers: {
    'lib/oci/reference.ts': ['*'],
    'lib/oci/names.ts': ['isRepository', 'isTag', 'isRegistryHost', 'looksLikeHost'],
  },
  form: 'text',
  corpus: [
    ...[
      'app',
      'team/app:v1',
      'harbor.corp:5000/team/app:v1',
      'localhost/app',
      '[::1]:5000/a',
      'index.docker.io/a',
    ],
    ...[
      `a@sha256:${'ab'.repeat(32)}`,
      `a:t@sha512:${'0'.repeat(128)}`,
      'a@sha256:1',
      'a:',
      'A/b',
      'a..b/c',
      '-.x/c',
    ],
  ],
  words: ['/', ':', '@', '..', '%2e', 'sha256:', 'localhost', '_', '__', '-', '.', 'a', '\u0000'],
  refuses: ['REFERENCE_INVALID'],
  parse: (input) => {
    const reference = parseReference(input.toString());
    const text = formatReference(reference);
    promise(formatReference(parseReference(text)) === text, 'the full name means the same');
    const { registry, repository } = reference;
    promise(
      !/[\s\\%?#]|\.\.|\/\//.test(`${registry}/${repository}`),
      'nothing in it means something in a path',
    );
  },
};
