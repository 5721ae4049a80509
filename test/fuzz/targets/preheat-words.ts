import { parseNetworks } from '../../../lib/config/networks.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import type { PreheatWishText } from '../../../lib/wire/preheat-messages.ts';
import { readAnnouncePath } from '../../../tracker/announce-gate.ts';
import { parseApiKeys } from '../../../tracker/api/api-keys.ts';
import { parseManifestUrl } from '../../../tracker/preheat/manifest-url.ts';
import { parsePreheatRegistry } from '../../../tracker/preheat/registry-names.ts';
import { parseWish } from '../../../tracker/preheat/wish.ts';
import { type FuzzTarget, promise } from '../target.ts';

/** Readers of one text; each takes another one of the corpus. */
const readers: readonly ((text: string) => unknown)[] = [
  (text) => {
    const { host, reference, repository } = parseManifestUrl(text);
    promise(!/[@/\s]/.test(host), 'a host is no more than that');
    promise(!/[^a-z0-9._/-]|\.\./.test(repository), 'nothing in a repository means something in a path');
    promise(!/[^\w.:+-]/.test(reference), 'nor in a reference');
  },
  parsePreheatRegistry,
  parseApiKeys,
  (text) => {
    const networks = parseNetworks(text);
    promise(typeof networks?.includes('10.1.2.3') !== 'string', 'an address is in or not');
  },
  readAnnouncePath,
  (text) => {
    // Without it a text is no wish: as it comes from a form, `name=value` behind `&`.
    const [image = '', ...more] = text.split('&');
    const fields = new Map(more.map((each) => each.split(/=(.*)/s, 2) as [string, string]));
    const platforms = fields.get('platforms');
    const wish: PreheatWishText = {
      ...Object.fromEntries(fields),
      image,
      ...(platforms === undefined ? {} : { platforms: [platforms] }),
    };
    check(parseWish(wish));
  },
];

function check(wish: ReturnType<typeof parseWish>): void {
  promise(wish.timeoutMs > 0 && Number.isFinite(wish.timeoutMs), 'a job ends');
  promise(wish.pauseMs >= 0 && Number.isFinite(wish.pauseMs), 'a pause ends');
  promise(wish.rate === undefined || (wish.rate > 0 && wish.rate < Infinity), 'a rate is a number');
}

export const target: FuzzTarget = {
  about: 'URLs, registries, wishes, keys and networks that a tracker is given for preheating and announces',
  parsers: {
    'tracker/preheat/manifest-url.ts': ['parseManifestUrl'],
    'tracker/preheat/registry-names.ts': ['parsePreheatRegistry'],
    'tracker/preheat/node-choice.ts': ['parseNodeChoice', 'parseBatchSize', 'batchSize'],
    'tracker/preheat/wish.ts': ['parseWish', 'wrong'],
    'tracker/api/api-keys.ts': ['parseApiKeys', 'keyOf', 'hashOf'],
    'lib/config/networks.ts': ['parseNetworks'],
    'tracker/announce-gate.ts': ['readAnnouncePath'],
  },
  form: 'text',
  corpus: [
    'https://harbor.corp/v2/team/app/manifests/v1',
    `https://harbor.corp:8443/v2/app/manifests/sha256:${'ab'.repeat(32)}`,
    'ftp://user@harbor.corp/v2/%2e%2e/manifests/v1#x',
    'harbor.corp=registry:5000',
    '*.gcr.io',
    'a=b=c',
    '# keys\nbearer abc\nbasic user:word\nheader X-Key: abc\n\n',
    'bearer a b',
    '10.0.0.0/8,fd00::/8, 192.168.0.1',
    '10.0.0.0/33',
    '/announce/abc.def',
    '/scrape',
    'harbor.corp/team/app:v1&nodes=10%&batch=2&pause=5s&rate=1MiB/s&timeout=1h&platforms=linux/arm64',
    'harbor.corp/app&nodes=zone=eu-1&tags=v*&platforms=all',
    'harbor.corp/app:v1&tags=v*',
    'harbor.corp/app&nodes=label=pool=gpu&batch=10%',
    'harbor.corp/app&nodes=label=pool&batch=0',
    'harbor.corp/app&nodes=12&batch=x',
    'harbor.corp/app&nodes=nobody',
    'harbor.corp/app&nodes=plan=1/2/3',
    'harbor.corp/app&nodes=200%',
    'harbor.corp/app&rate=1B/s',
    'harbor.corp/app&timeout=48h',
    'harbor.corp/app&pause=48h',
  ],
  words: [
    ...['/', '//', '?', '&', '=', '%', '%2f', '..', ':', '@', '#', '*', ',', '\n', ' ', '-', '.'],
    ...['nodes=', 'batch=', 'rate=', 'timeout=', 'pause=', 'tags=', 'platforms=', 'zone=', 'label=', '1e9'],
  ],
  refuses: ['REFERENCE_INVALID'],
  parse: (input) => {
    const text = input.toString();
    for (const read of readers) {
      try {
        read(text);
      } catch (error) {
        if (!(error instanceof DamselflyError)) throw error;
      }
    }
  },
};
