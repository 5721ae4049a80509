import type { IncomingMessage, ServerResponse } from 'node:http';
import { silentLog } from '../../../lib/observe/log.ts';
import { httpScrape } from '../../../tracker/http-scrape.ts';
import { createTestTracker } from '../bittorrent-tracker.ts';
import { type FuzzTarget, promise } from '../target.ts';

const hash = '%ab'.repeat(20);
const { swarms, tracker } = createTestTracker(silentLog());
const ask = `info_hash=${hash}&peer_id=${'p'.repeat(20)}&port=6881&left=0&numwant=9`;

export const target: FuzzTarget = {
  about: 'HTTP announces and scrapes of BitTorrent clients: the path with its query',
  parsers: {
    'tracker/http-scrape.ts': ['*'],
    'tracker/announce-server.ts': ['swarmOf', 'peerOf', 'guarded'],
  },
  form: 'text',
  corpus: [
    ...[
      `/announce?${ask}&event=started&compact=1`,
      `/announce?${ask}&event=stopped`,
      `/announce?${ask}&event=completed&compact=0`,
    ],
    ...[
      `/announce?${ask}&event=nonsense`,
      `/announce?${ask}&numwant=-5&left=x`,
      `/announce?info_hash=x`,
      '/announce',
    ],
    ...[
      `/scrape?info_hash=${hash}&info_hash=${'%01'.repeat(20)}`,
      '/scrape',
      '/scrape?info_hash=1',
      `/announce?${ask}&ip=10.9.9.9`,
    ],
    `/announce?${'d'.repeat(500)}i-0e${'l'.repeat(500)}`,
  ],
  words: [
    '&',
    '=',
    '?',
    '%',
    '%00',
    'info_hash=',
    'peer_id=',
    'port=',
    'left=',
    'event=',
    'numwant=',
    '-1',
    '1e9',
    '__proto__=',
    '%ab',
    'ip=',
  ],
  maxBytes: 16 * 1024,
  parse: (input) => {
    const url = input.toString('latin1');
    const [path, query = ''] = url.split('?');
    if (path === '/scrape') {
      const answer = httpScrape(query, swarms, () => true).toString('latin1');
      promise(
        /^d(?:5:files|14:failure reason)/.test(answer) && answer.endsWith('e'),
        'a scrape answers a dictionary',
      );
      return;
    }
    let answer = Buffer.alloc(0);
    const request = { url, method: 'GET', headers: {}, connection: { remoteAddress: '10.0.0.7' } };
    const response = { end: (body: Uint8Array) => void (answer = Buffer.from(body)) };
    tracker.onHttpRequest(request as unknown as IncomingMessage, response as unknown as ServerResponse);
    promise(answer.toString('latin1').startsWith('d'), 'an announce answers a dictionary');
    promise(
      [...swarms.addresses].every((address) => address === '10.0.0.7'),
      'peers are where they announce from',
    );
  },
};
