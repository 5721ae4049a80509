import fastify from 'fastify';
import t, { type Test } from 'tap';
import { startAdminServer } from '../../lib/observe/admin-server.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { BACKGROUND, Limits } from '../../lib/transfer/limits.ts';
import { addLimitsApi } from '../../lib/transfer/limits-api.ts';

const MIB = 1024 * 1024;
const NONE = Number.POSITIVE_INFINITY;

t.test('slots follow the rate', async (t) => {
  const clock = new FakeClock();
  t.equal(new Limits(clock).uploadSlots, NONE);
  t.equal(new Limits(clock, { uploadRate: MIB }).uploadSlots, 1);
  t.equal(new Limits(clock, { uploadRate: 13 * MIB }).uploadSlots, 3);
  t.equal(new Limits(clock, { downloadRate: 13 * MIB }).uploadSlots, NONE);
  t.equal(new Limits(clock, { downloadRate: 13 * MIB }).downloadSlots, 3);
});

t.test('in the background limits are low, but for those that are named', async (t) => {
  const limits = new Limits(new FakeClock(), { background: true, uploadRate: 300 * MIB });
  t.match(limits.settings, {
    uploadRate: 300 * MIB,
    downloadRate: NONE,
    ...{ maxConnections: BACKGROUND.maxConnections },
  });
  t.same([limits.uploadSlots, limits.downloadSlots], [1, 1]);
  t.equal(new Limits(new FakeClock(), { background: true }).settings.uploadRate, BACKGROUND.uploadRate);
});

t.test('whoever follows hears of each change', async (t) => {
  const limits = new Limits(new FakeClock());
  const heard: number[] = [];
  limits.follow(() => heard.push(limits.uploadSlots));
  limits.change({ uploadRate: 8 * MIB });
  limits.change({ registryRate: MIB });
  t.same(heard, [NONE, 2, 2]);
  t.match(limits.settings, { uploadRate: 8 * MIB, registryRate: MIB, downloadRate: NONE });
});

/** The admin port of a process, and questions to it. */
async function admin(t: Test) {
  const limits = new Limits(new FakeClock());
  const server = await startAdminServer({
    ...{
      host: '127.0.0.1',
      port: 0,
      registry: createMetrics({ defaults: false }).registry,
      checks: () => ({}),
    },
    routes: (server) => addLimitsApi(server, limits),
  });
  t.teardown(() => server.close());
  const url = `http://${server.address}/v1/limits`;
  const put = async (body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const get = async (): Promise<unknown> => (await fetch(url)).json();
  return { limits, put, get };
}

t.test('limits are shown and changed over HTTP, each by itself', async (t) => {
  const { get, limits, put } = await admin(t);
  const none = {
    ...{ uploadRate: 'none', downloadRate: 'none', registryRate: 'none', borderRate: 'none' },
    maxConnections: 1024,
  };
  t.same(await get(), none);
  t.same(await put({ uploadRate: '20MB/s', maxConnections: 64 }), {
    status: 200,
    body: { ...none, uploadRate: 20e6, maxConnections: 64 },
  });
  t.equal(limits.upload.bytesPerSecond, 20e6, 'in force');
  t.same(await put({ registryRate: 1e6 }), {
    status: 200,
    body: { ...none, uploadRate: 20e6, registryRate: 1e6, maxConnections: 64 },
  });
  t.same((await put({ uploadRate: 'none' })).body['uploadRate'], 'none');
  t.equal(limits.uploadSlots, NONE);
});

t.test('a wrong limit is refused with its name, its value and what it may be; nothing changes', async (t) => {
  const { get, put } = await admin(t);
  const before = await get();
  for (const [body, message] of [
    [
      { uploadRate: 'fast', maxConnections: 64 },
      /^uploadRate: got "fast"; expected a rate such as 300MiB\/s/,
    ],
    [{ uploadRate: 5 }, /^uploadRate: got 5; expected none, or a rate of at least 64KiB\/s/],
    [{ downloadRate: null }, /^downloadRate: got null; expected none, or a rate of at least/],
    [{ maxConnections: 1 }, /^maxConnections: got 1; expected a whole number from 16 to 65535/],
    [{ maxConnections: [] }, /^maxConnections: got \[\]; expected a whole number/],
    [{ bufferMemory: '1GiB' }, /^unknown limit bufferMemory; it may be uploadRate, downloadRate/],
    [['uploadRate'], /^expected a JSON object with some of uploadRate/],
  ] as const) {
    const answer = await put(body);
    t.equal(answer.status, 400, JSON.stringify(body));
    t.match(answer.body, { code: 'CONFIG_INVALID', message });
  }
  t.match(await put('{'), { status: 400 }, 'not JSON');
  t.same(await get(), before);
});

t.test('limits are changed from the same machine only, and not by a web page', async (t) => {
  const { get, put } = await admin(t);
  const before = await get();
  const page = await put({ uploadRate: '1MB/s' }, { origin: 'http://evil.test' });
  t.match(page, { status: 403, body: { code: 'LOCAL_ONLY' } });
  t.same(await get(), before);
  const limits = new Limits(new FakeClock());
  const server = fastify();
  addLimitsApi(server, limits);
  const ask = async (remoteAddress: string): Promise<number> => {
    const payload = { uploadRate: '1MB/s' };
    return (await server.inject({ method: 'PUT', url: '/v1/limits', payload, remoteAddress })).statusCode;
  };
  t.equal(await ask('10.0.0.7'), 403);
  t.equal(limits.upload.bytesPerSecond, NONE);
  t.equal(await ask('::ffff:127.0.0.1'), 200);
  t.equal(await ask('::1'), 200);
});
