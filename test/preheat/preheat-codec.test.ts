import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import { MAX_CONTROL_BYTES } from '../../lib/wire/control-messages.ts';
import {
  type JobView,
  MAX_AUTHORIZATION_CHARS,
  MAX_PREHEAT_BLOBS,
  MAX_PREHEAT_IMAGES,
  MAX_PREHEAT_MANIFESTS,
  MAX_REASON_CHARS,
  MAX_SHOWN,
  type PreheatMessage,
} from '../../lib/wire/preheat-messages.ts';
import { BLOBS, id, MANIFEST } from './core-rig.ts';

const failure = { code: 'UPSTREAM_REFUSED', message: 'x'.repeat(MAX_REASON_CHARS) };
const repository = 'r'.repeat(255);
const image = { image: `${'h'.repeat(250)}.test/${repository}@${MANIFEST}`, digest: MANIFEST };
const job: JobView = {
  ...{ id: 1, state: 'failed', image: image.image, tags: 'v*', nodes: 'all' },
  images: Array.from({ length: MAX_PREHEAT_IMAGES }, () => image),
  ...{ imageBytes: 1, doneBytes: 2, totalBytes: 3, batch: 1, batches: 1 },
  targets: { total: 1, waiting: 0, running: 0, done: 0, failed: 1 },
  running: Array.from({ length: MAX_SHOWN }, (_, at) => ({ node: id(at), bytes: at })),
  failures: Array.from({ length: MAX_SHOWN }, (_, at) => ({ node: id(at), error: failure })),
  ...{ createdAtMs: 1, startedAtMs: 2, finishedAtMs: 3, error: failure, notes: ['a note'] },
};
const task = `${'f'.repeat(16)}.b`;
const place = { upstream: 'harbor.corp', repository };
/** As large as they may be. */
const MESSAGES: readonly PreheatMessage[] = [
  { type: 'labels', labels: { pool: 'gpu', 'corp.example/rack': '12', empty: '' } },
  { type: 'preheat-resolve', task, ...place, reference: 'v1', platforms: ['linux/amd64'] },
  { type: 'preheat-resolve', task, ...place, tags: 'v*', platforms: [], authorization: 'Basic eDp5' },
  { type: 'preheat-resolved', task, image: { reference: 'v1', digest: MANIFEST, blobs: BLOBS }, more: true },
  { type: 'preheat-resolved', task, error: failure },
  {
    ...{ type: 'preheat', task, ...place, everyMs: 500, rate: 65_536 },
    blobs: Array.from({ length: MAX_PREHEAT_BLOBS }, (_, at) => ({
      digest: digestOf(Buffer.from(String(at)), 'sha512'),
      size: 10 ** 12,
      listedBy: MAX_PREHEAT_MANIFESTS - 1,
    })),
    manifests: Array.from({ length: MAX_PREHEAT_MANIFESTS }, (_, at) =>
      digestOf(Buffer.from(`manifest ${at}`), 'sha512'),
    ),
    authorization: 'x'.repeat(MAX_AUTHORIZATION_CHARS),
  },
  { type: 'preheat-cancel', task },
  { type: 'preheat-progress', task, state: 'failed', bytes: 2 ** 50, error: failure },
  { type: 'preheat-ask', ask: 1, question: { act: 'create', wish: { image: 'app', nodes: '10%' } } },
  { type: 'preheat-ask', ask: 1, question: { act: 'get', id: 7 } },
  { type: 'preheat-ask', ask: 1, question: { act: 'list' } },
  { type: 'preheat-told', ask: 1, jobs: [job] },
  {
    type: 'preheat-told',
    ask: 1,
    jobs: Array.from({ length: 20 }, () => ({ ...job, images: [], running: [], failures: [] })),
  },
  { type: 'preheat-told', ask: 1, jobs: [], error: failure },
  {
    ...{ type: 'preheat-resolved', task },
    image: {
      reference: 'v1',
      digest: MANIFEST,
      blobs: BLOBS.map((blob) => ({ ...blob, listedBy: 0 })),
      manifests: [MANIFEST],
    },
  },
];

t.test('every message comes out as it went in, and fits', async (t) => {
  for (const message of MESSAGES) {
    const text = encodeControl(message);
    t.ok(text.length <= MAX_CONTROL_BYTES, `${message.type}: ${text.length}`);
    t.same(decodeControl(text), message, message.type);
  }
});

t.test('what breaks the protocol is refused, and no secret is told', async (t) => {
  const [labels, resolve, , resolved, , preheat, , progress, ask] = MESSAGES;
  for (const [message, change] of [
    [labels, { labels: { 'not a label': 'x' } }],
    [labels, { labels: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`k${at}`, 'v'])) }],
    [resolve, { platforms: Array.from({ length: 17 }, () => 'linux/amd64') }],
    [resolve, { authorization: 'Bearer secret\r\nX-Evil: 1' }],
    [resolve, { authorization: 'x'.repeat(MAX_AUTHORIZATION_CHARS + 1) }],
    [resolved, { image: { reference: 'v1', digest: 'sha256:short', blobs: [] } }],
    [resolved, { error: { code: 'lower', message: '' } }],
    [preheat, { blobs: [{ digest: MANIFEST, size: -1 }] }],
    [preheat, { blobs: Array.from({ length: MAX_PREHEAT_BLOBS + 1 }, () => BLOBS[0]) }],
    [preheat, { task: '../x' }],
    [preheat, { everyMs: 1e9 }],
    [progress, { bytes: 1.5 }],
    [progress, { state: 'perhaps' }],
    [ask, { question: { act: 'drop' } }],
  ] as const) {
    const text = JSON.stringify({ ...message, ...change });
    try {
      decodeControl(text);
      t.fail(JSON.stringify(change).slice(0, 80));
    } catch (error) {
      t.match(error, { code: 'PEER_PROTOCOL' });
      t.notMatch((error as Error).message, /secret/);
    }
  }
});
