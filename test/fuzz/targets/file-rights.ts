import { DamselflyError } from '../../../lib/core/errors.ts';
import { fileFacts, fileKey, fileOrigin, fileRequest, isFileLocator } from '../../../lib/origin/file.ts';
import { type FuzzTarget, promise } from '../target.ts';

const encoded = (rights: unknown): string =>
  `Damselfly-File ${Buffer.from(typeof rights === 'string' ? rights : JSON.stringify(rights)).toString('base64url')}`;

export const target: FuzzTarget = {
  about: 'where a file is, what a node shows for it, and what its source says of it',
  parsers: {
    'lib/origin/file.ts': [
      ...['fileOrigin', 'fileRequest', 'fileFacts', 'fileKey', 'sentHeaders', 'isHeader', 'encodeRights'],
      ...['decodeRights', 'withoutParameters', 'nameOf', 'isFileLocator'],
    ],
  },
  form: 'json',
  corpus: [
    JSON.stringify({ repository: '/a/b?x=1#id', rights: { headers: { 'x-a': 'b' }, query: '?x=1&sig=2' } }),
    JSON.stringify({ repository: '/a', rights: { headers: { range: 'x', 'x-b': 7 }, query: '?a#b' } }),
    JSON.stringify({ repository: '/a/../b', rights: 'not JSON' }),
    JSON.stringify({ repository: '/a', authorization: 'Bearer x' }),
    JSON.stringify({ repository: '/a' }),
    JSON.stringify({
      url: 'https://a.corp/x?a=1&%zz=2&b+c=3',
      filtered: ['a', 'b c'],
      headers: { 'X-A': ' b ' },
    }),
    JSON.stringify({ url: 'https://a.corp/x', filtered: ['a'], headers: { host: 'x' }, identifier: 'i&j' }),
    JSON.stringify({ url: 'https://a.corp/x?a', headers: { 'x-a': '\n' } }),
    JSON.stringify({ status: 200, headers: { 'content-length': '5', etag: '"a"', 'last-modified': 'x' } }),
    JSON.stringify({ status: 206, headers: { 'content-range': 'bytes 0-0/5', etag: 'W/"a"' } }),
    JSON.stringify({ status: 206, headers: { 'content-range': 'bytes 0-0/*', 'content-encoding': 'gzip' } }),
    '{',
  ],
  refuses: ['CONFIG_INVALID', 'UPSTREAM_REFUSED'],
  parse: (input) => {
    let given: Record<string, unknown>;
    try {
      given = { ...(JSON.parse(input.toString()) as object) };
    } catch {
      given = { repository: input.toString() };
    }
    const { headers, repository, rights, status } = given;
    if (typeof status === 'number' && typeof headers === 'object' && headers !== null) {
      const facts = fileFacts({ status, headers: headers as Record<string, string> });
      promise(facts.size === undefined || Number.isSafeInteger(facts.size), 'a size is a number');
      const key = fileKey({ upstream: 'a.corp', repository: '/x' }, facts);
      promise(key === undefined || /^url:[0-9a-f]{64}$/.test(key), 'a key is one');
    }
    const url = typeof given['url'] === 'string' ? URL.parse(given['url']) : null;
    if (url !== null) asked(url, given);
    if (typeof repository !== 'string' || !isFileLocator(repository)) return;
    const own = given['authorization'];
    const authorization = rights === undefined ? own : encoded(rights);
    request({ repository, ...(typeof authorization === 'string' ? { authorization } : {}) });
  },
};

/** As a caller asks its daemon. */
function asked(url: URL, { filtered, headers, identifier }: Record<string, unknown>): void {
  const isText = (each: unknown): each is string => typeof each === 'string';
  const texts = Object.entries(typeof headers === 'object' && headers !== null ? headers : {});
  const place = fileOrigin(url, url.host, {
    filtered: Array.isArray(filtered) ? filtered.filter(isText) : [],
    headers: Object.fromEntries(texts.filter((entry): entry is [string, string] => isText(entry[1]))),
    ...(isText(identifier) ? { identifier } : {}),
  });
  try {
    request(place);
  } catch (error) {
    // Schemes without a path.
    if (!(error instanceof DamselflyError)) throw error;
  }
}

/** As a supernode asks the source for a node. */
function request(place: { readonly repository: string; readonly authorization?: string }): void {
  const { headers, path } = fileRequest({ upstream: 'a.corp', ...place });
  promise(path.startsWith('/') && !/[\s#]/.test(path), 'a path is one');
  promise(!/(?:^|\/)\.\.(?:\/|\?|$)/.test(path.split('?')[0] ?? ''), 'a path does not lead up');
  const names = Object.keys(headers);
  promise(
    !names.some((name) => /^(?:host|range|content-length|connection)$/.test(name)),
    'none of our own headers',
  );
  promise(!Object.values(headers).some((value) => /[\r\n\0]/.test(value)), 'a header ends where it ends');
}
