import { silentLog } from '../../../lib/observe/log.ts';
import type { KeyValue } from '../../../lib/store/key-value/key-value.ts';
import { encodeJob, readJobs, recordKey } from '../../../tracker/preheat/job-records.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const job = {
  ...{
    id: 1,
    key: 'k',
    wish: { image: 'harbor.corp/app:v1', nodes: 'all' },
    createdAtMs: 1,
    state: 'running',
  },
  ...{ startedAtMs: 2, images: [{ image: 'harbor.corp/app:v1', digest }], blobs: [{ digest, size: 5 }] },
  ...{ resolved: true, batches: [['a1'.repeat(20)]], batch: 0, credentials: 'none' },
  targets: [['a1'.repeat(20), { state: 'running', batch: 0, bytes: 5, error: { code: 'X', message: 'y' } }]],
};
const log = silentLog();

export const target: FuzzTarget = {
  about: 'the record of a preheat job on disk',
  parsers: { 'tracker/preheat/job-records.ts': ['readJobs', 'encodeJob', 'recordKey'] },
  form: 'json',
  corpus: [
    JSON.stringify(job),
    JSON.stringify({ ...job, error: { code: 'X', message: 'y' }, finishedAtMs: 3, nextBatchAtMs: 4 }),
    JSON.stringify({ ...job, wish: { image: '' } }),
    '{',
  ],
  parse: async (input) => {
    async function* entries() {
      yield [recordKey(1), input] as const;
    }
    const jobs = await readJobs({ entries } as unknown as KeyValue, log);
    for (const each of jobs) {
      promise(each.id >= 1 && each.wish.timeoutMs > 0, 'a job has a number and an end');
      promise(JSON.parse(Buffer.from(encodeJob(each)).toString()) !== null, 'what was read is written again');
    }
  },
};
