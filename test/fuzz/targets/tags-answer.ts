import { isTag } from '../../../lib/oci/names.ts';
import { nextQuery, tagsOf } from '../../../lib/origin/tags-page.ts';
import { type FuzzTarget, promise } from '../target.ts';

const NEXT = '</v2/app/tags/list?n=2&last=v2>; rel="next"';

export const target: FuzzTarget = {
  about: 'a page of tags, and the Link to the next one; the Link behind a line break',
  parsers: { 'lib/origin/tags-page.ts': ['tagsOf', 'nextQuery'] },
  form: 'text',
  corpus: [
    `{"name":"app","tags":["v1","v2"]}\n${NEXT}`,
    '{"tags":null}\n',
    '{"tags":[7,"not a tag"]}\n</x>; rel=prev, </y?a b>; rel=next',
    '{',
  ],
  beyond: [`{}\n${'<>;'.repeat(20_000)}`, `{}\n${'<'.repeat(60_000)}`],
  words: ['<', '>', ';', ',', 'rel="next"', '?', '&', '%0d', '"tags":', '[', ']', '"v1"', ' '],
  refuses: ['UPSTREAM_BROKEN'],
  parse: (input) => {
    const [page = '', link] = input.toString().split('\n');
    const query = nextQuery(link) ?? '';
    promise(!/[^\w.~%&=+-]/.test(query), 'a question ends where it ends');
    promise(tagsOf(Buffer.from(page)).every(isTag), 'tags are tags');
  },
};
