import { type GetFlags, readGetFlags } from '../../../dfget/commands/get-flags.ts';
import { type FuzzTarget, promise } from '../target.ts';

const socket = '/run/damselfly.sock';
const asked = (argument: string, flags: Partial<GetFlags> = {}): string =>
  JSON.stringify({ argument, flags });

export const target: FuzzTarget = {
  about: 'the URL and the flags of dfget URL, in the words of Dragonfly 1, 2 and our own',
  parsers: {
    'dfget/commands/get-flags.ts': [
      ...['readGetFlags', 'readUrl', 'userOf', 'readHeaders', 'readPattern', 'readTimeout', 'identifierOf'],
      ...['outputOf', 'safeName', 'decoded', 'wrong'],
    ],
    'dfget/file/checksum.ts': ['parseChecksum', 'formatChecksum', 'isAlgorithm'],
  },
  form: 'json',
  corpus: [
    asked('https://a.corp/x.tar'),
    asked('https://user:word@a.corp/x?a=1#b', {
      header: ['X-A: b', 'x-c:d'],
      filter: 'a&b',
      md5: 'ab'.repeat(16),
    }),
    asked('https://a.corp/', { output: '/x', digest: `sha256:${'ab'.repeat(32)}`, pattern: 'source' }),
    asked('https://a.corp/%2e%2e', { pattern: '7', timeout: '5', e: '10s' }),
    asked('https://a.corp/%zz', { pattern: 'cdn', e: 'unix:///x', locallimit: '1MiB/s', tag: 't' }),
    asked('https://%zz@a.corp/x', { notbs: true }),
    asked('ftp://a.corp/x', { url: 'http://b' }),
    asked('https://a.corp/x', { url: 'http://b' }),
    asked('https://a.corp/x', { header: [':'], identifier: 'i' }),
    asked('https://a.corp/x', { notbs: true, pattern: 'source' }),
    asked('https://a.corp/x', { digest: 'md5:1', filteredQueryParam: ['a'], application: 'b' }),
    asked('https://a.corp/x', { pattern: 'x' }),
    asked('https://a.corp/x', { timeout: '0', endpoint: 'unix:/y', disableBackToSource: true }),
    '{',
  ],
  refuses: ['CONFIG_INVALID', 'DIGEST_INVALID'],
  parse: (input) => {
    let given: { readonly argument?: unknown; readonly flags?: unknown };
    try {
      given = { ...(JSON.parse(input.toString()) as object) };
    } catch {
      given = { argument: input.toString() };
    }
    const { argument, flags } = given;
    // Values are texts, lists of them, or switches, as commander gives them.
    const texts = Object.entries({ ...(typeof flags === 'object' ? flags : {}) }).filter(([name, value]) =>
      LISTS.has(name)
        ? Array.isArray(value) && value.every((each) => typeof each === 'string')
        : typeof value === (SWITCHES.has(name) ? 'boolean' : 'string'),
    );
    // They say aloud what has no effect.
    const write = process.stderr.write.bind(process.stderr);
    process.stderr.write = () => true;
    try {
      check(typeof argument === 'string' ? argument : undefined, Object.fromEntries(texts));
    } finally {
      process.stderr.write = write;
    }
  },
};

function check(argument: string | undefined, flags: Partial<GetFlags>): void {
  const { wanted } = readGetFlags(argument, { ...flags, socket });
  promise(/^https?:$/.test(wanted.url.protocol), 'a URL is http');
  promise(wanted.url.username === '' && wanted.url.password === '', 'no user stays in a URL');
  const isOwn = (flags.output ?? flags.O) !== undefined;
  promise(isOwn || !/[/\\]|^\.\.?$/.test(wanted.path), 'a name is no path');
}

const LISTS = new Set(['header', 'filteredQueryParam']);
const SWITCHES = new Set(['notbs', 'disableBackToSource']);
