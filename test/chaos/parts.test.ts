import { createServer, request, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { RAN, requireRan } from '../helpers/clients/containerd.ts';
import { type Census, leaksBetween } from './census.ts';
import { readFlags } from './cli.ts';
import { corruptAnswers } from './corrupt-answers.ts';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults/index.ts';
import { chaosPage, isGood, type RecordedRun } from './page.ts';
import { mergeRecords } from './record.ts';
import { type RegistryFault, startRegistryRelay } from './registry-relay.ts';
import { sample } from './sample.ts';
import { createSchedule } from './schedule.ts';
import { FULL, QUICK, QUICK_FAULTS } from './sizes.ts';
import type { World } from './world.ts';

const MIB = 1024 * 1024;

await t.test(
  'a container has run when its shell says so by its exit status, whatever arrives of its words',
  async (t) => {
    const ended = (code: number, output: string) => () => requireRan({ code, output, stdout: '' });
    t.doesNotThrow(ended(RAN, ''));
    t.doesNotThrow(ended(RAN, 'it runs\n'));
    t.throws(ended(0, 'it runs\n'), { message: 'the container ended with 0: it runs' });
    t.throws(ended(0, ''), { message: 'the container ended with 0: ' });
    t.throws(ended(1, 'ctr: no such image\n'), { message: /ended with 1: ctr: no such image/ });
    t.throws(ended(127, 'sh: not found'));
    t.throws(ended(-1, 'aborted'));
  },
);

await t.test('steps strike in the order of the pull, one after the other', async (t) => {
  const schedule = createSchedule(() => 7);
  const done: string[] = [];
  const slow = Promise.withResolvers<void>();
  schedule.at(0.5, 'second', async () => void done.push('second'));
  schedule.at(0.2, 'first', async () => {
    await slow.promise;
    done.push('first');
  });
  schedule.reached(0.1);
  t.same(schedule.events, []);
  schedule.reached(0.6);
  slow.resolve();
  await schedule.settle();
  t.same(done, ['first', 'second']);
  t.same(schedule.events, [
    { seconds: 7, progress: 0.6, what: 'first' },
    { seconds: 7, progress: 0.6, what: 'second' },
  ]);
});

await t.test('a step that failed or was never reached is told', async (t) => {
  const failing = createSchedule(() => 0);
  failing.at(0, 'kill', () => Promise.reject(new Error('no such process')));
  failing.reached(0);
  await t.rejects(failing.settle(), { message: 'no such process' });
  const late = createSchedule(() => 0);
  late.at(0.9, 'kill -9 node3', async () => {});
  late.reached(0.8);
  await t.rejects(late.settle(), { message: 'the pulls ended before: kill -9 node3' });
});

await t.test('a seed decides what is struck, and when', async (t) => {
  const named = (name: string, count: number): { name: string }[] =>
    Array.from({ length: count }, (_, i) => ({ name: `${name}${i}` }));
  const planOf = (fault: Fault, seed: number): string[] => {
    const rng = createRng(seed);
    const [nodes, supernodes, trackers] = [named('node', 12), named('supernode', 2), named('tracker', 2)];
    const world = {
      ...{ rng, nodes, supernodes, trackers, machines: [...trackers, ...supernodes, ...nodes] },
      sample: <T>(from: readonly T[], count: number): T[] => sample(rng, from, count),
      ...{ doomed: new Set(), excused: new Set() },
    } as unknown as World;
    const steps: string[] = [];
    const at = (progress: number, what: string): void => void steps.push(`${progress} ${what}`);
    fault.plan?.(world, { ...createSchedule(() => 0), at });
    return steps;
  };
  const planned = FAULTS.filter((fault) => planOf(fault, 1).length > 0);
  t.ok(planned.length > 5);
  for (const fault of planned) {
    t.same(planOf(fault, 1), planOf(fault, 1), fault.name);
    const drawn = new Set([1, 2, 3, 4].map((seed) => planOf(fault, seed).join()));
    // Each daemon in turn: nothing is drawn.
    if (fault.name !== 'daemons-upgraded') t.ok(drawn.size > 1, fault.name);
  }
});

await t.test(
  'more open files or memory than before are leaks, in processes that were there before',
  async (t) => {
    const census = (files: number, rssMib: number, name = 'node0'): Census =>
      new Map([[name, { files, sockets: files, rssBytes: rssMib * MIB }]]);
    t.same(leaksBetween(census(40, 150), census(50, 200)), []);
    t.match(leaksBetween(census(40, 150), census(90, 150)), [/^node0: 40 open files before, 90 after/]);
    t.match(leaksBetween(census(40, 150), census(40, 400)), [/^node0: 150 MiB resident before, 400 after/]);
    t.same(leaksBetween(census(40, 150), census(900, 900, 'node0 (start 2)')), []);
  },
);

await t.test('a corrupt peer spoils one byte of each answer to peers, and of nothing else', async (t) => {
  class Answer extends ServerResponse {}
  corruptAnswers(Answer.prototype);
  const kept = Buffer.from('aa');
  const server = createServer({ ServerResponse: Answer }, ({ url = '' }, response) => {
    if (url.endsWith('refused')) response.writeHead(503).end();
    else if (url.endsWith('whole')) response.end(kept);
    else {
      response.write(kept);
      response.end(kept);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const get = async (path: string, method = 'GET'): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${port}${path}`, { method })).text();
  t.equal(await get('/v1/blobs/some'), '`aaa');
  t.equal(await get('/v1/blobs/whole'), '`a');
  t.equal(await get('/v1/small-blobs', 'POST'), '`aaa');
  t.equal(await get('/v1/blobs/refused'), '');
  t.equal(await get('/v2/app/blobs/some'), 'aaaa', 'to a client');
  t.equal(kept.toString(), 'aa');
});

await t.test(
  'the relay before the registry is as bad as it is told, and counts what leaves it',
  async (t) => {
    const body = Buffer.alloc(4 * MIB, 1);
    const target = createServer((_request, response) => {
      response.writeHead(200, { 'content-length': String(body.length) }).end(body);
    });
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
    t.teardown(() => target.close());
    const { port } = target.address() as AddressInfo;
    const relay = await startRegistryRelay({ host: '127.0.0.1', target: { host: '127.0.0.1', port } });
    t.teardown(() => relay.close());
    const get = (
      fault: RegistryFault,
      localAddress = '127.0.0.1',
    ): Promise<{ status: number; bytes: Buffer }> => {
      relay.fault = fault;
      return new Promise((resolve, reject) => {
        const url = `http://${relay.address}/v2/x/blobs/y`;
        request(url, { agent: false, localAddress }, (response) => {
          buffer(response).then((bytes) => resolve({ status: response.statusCode ?? 0, bytes }), reject);
        })
          .on('error', reject)
          .end();
      });
    };
    t.ok((await get({ kind: 'none' })).bytes.equals(body));
    t.match(relay.counters, { bytes: body.length, bytesTo: { '127.0.0.1': body.length }, spoilt: 0 });

    const lie = { kind: 'lie', answers: 1, to: 'all' } as const;
    const wrong = (await get(lie)).bytes;
    t.equal(wrong.length, body.length);
    t.equal(wrong.filter((byte) => byte !== 1).length, 1);
    t.ok((await get(lie)).bytes.equals(body), 'once');
    const other = get({ kind: 'lie', answers: 9, to: 'first-reader' }, '127.0.0.9');
    t.ok((await other).bytes.equals(body), 'somebody else read first');

    const before = relay.counters.bytes;
    await t.rejects(get({ kind: 'cut', afterBytes: MIB }), 'cut off');
    t.equal(relay.counters.bytes - before, MIB);
    const statuses = [await get({ kind: 'every-second-500' }), await get({ kind: 'every-second-500' })];
    t.same(statuses.map(({ status }) => status).sort(), [200, 500]);
    await t.rejects(get({ kind: 'away' }), { code: 'ECONNRESET' });
  },
);

await t.test('the quick part names faults that there are, and names are unique', async (t) => {
  const names = FAULTS.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
  t.same(
    QUICK_FAULTS.filter((name) => !names.includes(name)),
    [],
  );
  t.same(readFlags(['--quick']).faults.length, QUICK_FAULTS.length);
  t.throws(() => readFlags(['--fault', 'nothing']), { code: 'CONFIG_INVALID' });
  t.equal(readFlags(['--minutes', '3']).seeds, Number.POSITIVE_INFINITY);
});

await t.test('the page tells medians, and each run that did not hold', async (t) => {
  const machine = { cpu: 'a processor', cores: 4, memoryBytes: MIB, system: 'Linux', node: 'v24' };
  const result = (seed: number, makespanRatio: number, broken: string[] = []): RecordedRun => ({
    machine,
    ...{ fault: 'nodes-killed', seed, secure: true, nodes: 12, imageBytes: 300 * MIB },
    ...{ commit: '0123456789ab', date: '2026-01-01', failedPulls: broken.length },
    ...{ calmSeconds: 25, seconds: 25 * makespanRatio, makespanRatio, registryRatio: 1, events: [], broken },
  });
  const results = [result(1, 1.1), result(2, 1.3), result(3, 1.2, ['node3 ended by itself'])];
  t.same(results.map(isGood), [true, true, false]);
  const record = { size: FULL, results };
  const page = chaosPage(record, FAULTS);
  t.match(page, '| `nodes-killed` |');
  t.match(
    page,
    '| 1, 2, 3 | 1 | 1.2x | at most 1.5x | 1x | at most 1x | **no** | 2026-01-01 `0123456789ab` |',
  );
  t.match(page, 'Run on a processor, 4 cores, 1.0 MiB, Linux, Node v24.');
  t.match(page, '- `nodes-killed`, seed 3: node3 ended by itself');
  t.match(page, '- `all-dead` was not run');
  t.match(page, '**0 of 1 faults held with every seed that was run;');
  const elsewhere = { ...machine, cpu: 'another' };
  const again = { ...record, results: [{ ...result(3, 1.2), machine: elsewhere }, result(4, 1)] };
  const merged = mergeRecords(record, again);
  t.same(
    merged.results.map(({ seed }) => seed),
    [1, 2, 3, 4],
  );
  t.ok(merged.results.every(isGood), 'what was run again counts');
  const both = chaosPage(merged, FAULTS);
  t.match(both, '1. a processor, 4 cores, 1.0 MiB, Linux, Node v24\n2. another, 4 cores');
  t.match(both, '| yes | 2026-01-01 `0123456789ab` on 1, 2026-01-01 `0123456789ab` on 2 |');
  t.equal(mergeRecords({ ...record, size: QUICK }, again), again, 'another size is another record');
});
