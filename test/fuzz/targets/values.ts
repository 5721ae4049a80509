import type { z } from 'zod';
import * as values from '../../../lib/config/values.ts';
import { type FuzzTarget, promise } from '../target.ts';

const schemas: readonly z.ZodType[] = [
  ...[values.address(), values.advertised(), values.proxyListener(), values.trackerUrl(), values.httpsUrl()],
  ...[values.duration(), values.cacheAfterPull(), values.size(), values.rate(), values.connections()],
  ...[values.plainRate(), values.share(), values.dataDir(), values.logLevel(), values.toggle()],
  ...[values.zoneName(), values.zoneRule(), values.redisUrl(), values.objectStoreUrl(), values.httpUrl()],
  ...[values.otlpUrl(), values.label()],
];

export const target: FuzzTarget = {
  about: 'values of settings: addresses, URLs, rates, shares',
  parsers: { 'lib/config/values.ts': ['*'] },
  form: 'text',
  corpus: [
    ...[
      '127.0.0.1:65001',
      '[::1]:80',
      ':0',
      'a:99999',
      'harbor.corp=127.0.0.1:1',
      '=a:1',
      'peer.corp',
      'a:b:c',
    ],
    ...[
      'wss://tracker.corp:8400/x',
      'http://collector:4318/otlp/',
      'pool=gpu',
      'pool=',
      'https://t:1',
      'ftp://x',
      'http://',
      '30m',
      'drop',
      'keep',
      '64KiB/s',
      'none',
    ],
    ...[
      'memory',
      'redis://:secret@redis.corp:6379/0',
      'unix:///run/redis.sock',
      'disk',
      's3://blobs/damselfly?endpoint=https://rgw.corp&region=eu-1',
      'http://tracker.corp:8401/x',
    ],
    ...[
      '1024',
      '90%',
      '0.9',
      '2',
      '/srv/blobs=2',
      '=1',
      '/x=0',
      'debug',
      'true',
      'no',
      'maybe',
      'zone-a',
      '10.0.0.0/8,fd00::/8=eu/fra',
      'z/z',
    ],
  ],
  words: [':', '[', ']', '=', '//', '%', '@', '.', '0', '65536', 'https://', 'ws://', ' '],
  parse: (input) => {
    const text = input.toString();
    for (const schema of schemas) {
      const result = schema.safeParse(text);
      promise(result.success || result.error.issues.length > 0, 'a refusal says why');
    }
  },
};
