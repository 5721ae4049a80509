import t from 'tap';
import { readTraceparent } from '../../lib/core/traceparent.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { openTracer } from '../../lib/observe/otlp/open-tracer.ts';
import { NO_TRACER, type Tracer } from '../../lib/observe/spans.ts';
import { pathTemplate } from '../../lib/oci/path-template.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SAMPLED = `00-${TRACE}-00f067aa0ba902b7-01`;
/** Nobody listens there: nothing is sent before it is closed, and that it cannot be is no failure. */
const endpoint = 'http://127.0.0.1:9';
const open = (env: Record<string, string>, given: string | undefined = endpoint): Promise<Tracer> =>
  openTracer({ clock: createSystemClock(), log: silentLog(), env }, { service: 'test', endpoint: given });

t.test('a traceparent is read as W3C Trace Context has it', async (t) => {
  t.equal(readTraceparent(SAMPLED), SAMPLED);
  t.equal(readTraceparent(` ${SAMPLED} `), SAMPLED);
  t.equal(readTraceparent(`cc${SAMPLED.slice(2)}-what-the-future-will-be`), SAMPLED, 'of a later version');
  const wrong = [
    undefined,
    '',
    [SAMPLED, SAMPLED],
    `ff${SAMPLED.slice(2)}`,
    `${SAMPLED}-more`,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    SAMPLED.toUpperCase(),
    `${SAMPLED}\r\nx: y`,
  ];
  for (const value of wrong) t.equal(readTraceparent(value), undefined, String(value));
});

t.test('paths of the registry API have few names', async (t) => {
  t.equal(pathTemplate('/v2/'), '/v2/');
  t.equal(pathTemplate('/v2/a/b/manifests/v1'), '/v2/{name}/manifests/{reference}');
  t.equal(pathTemplate('/v2/a/b/blobs/sha256:00'), '/v2/{name}/blobs/{digest}');
  t.equal(pathTemplate('/v2/a/blobs/uploads/'), '/v2/{name}/blobs/uploads/{session}');
  t.equal(pathTemplate('/v2/a/tags/list'), '/v2/{name}/tags/list');
  t.equal(pathTemplate('/token'), undefined);
});

t.test('spans are recorded only when a collector is named', async (t) => {
  const none = async (env: Record<string, string>): Promise<Tracer> =>
    await openTracer({ clock: createSystemClock(), log: silentLog(), env }, { service: 'test' });
  t.equal(await none({}), NO_TRACER);
  t.equal(await open({ OTEL_SDK_DISABLED: 'true' }), NO_TRACER);
  t.equal(await open({ OTEL_TRACES_EXPORTER: 'none' }), NO_TRACER);
  t.not(await none({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }), NO_TRACER);
  const span = NO_TRACER.begin('x', { kind: 'server', parent: SAMPLED, begins: true });
  t.same([span.traceparent, span.recorded], [SAMPLED, false], 'what comes in goes on');
});

t.test('a span is a part of what it was told, or the beginning where that is asked for', async (t) => {
  const tracer = await open({});
  t.teardown(() => tracer.close());
  const part = tracer.begin('part', { kind: 'client', parent: SAMPLED });
  t.ok(part.recorded);
  t.match(part.traceparent, new RegExp(`^00-${TRACE}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));
  t.notOk(
    tracer.begin('other', { kind: 'client', parent: SAMPLED.replace(/1$/, '0') }).recorded,
    'not sampled',
  );
  t.equal(tracer.begin('alone', { kind: 'client', parent: undefined }).traceparent, undefined);
  const first = tracer.begin('first', { kind: 'server', parent: undefined, begins: true });
  t.match(first.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

t.test('the variables say what is sampled', async (t) => {
  const recorded = async (env: Record<string, string>, parent?: string): Promise<boolean> => {
    const tracer = await open(env);
    const { recorded: is } = tracer.begin('x', { kind: 'server', parent, begins: true });
    await tracer.close();
    return is;
  };
  const never = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' };
  t.equal(await recorded(never), false);
  t.equal(await recorded(never, SAMPLED), true, 'whoever asks has decided');
  t.equal(
    await recorded({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' }, SAMPLED),
    false,
  );
  t.equal(await recorded({ OTEL_TRACES_SAMPLER: 'always_off' }), false);
  t.equal(await recorded({ OTEL_TRACES_SAMPLER: 'parentbased_always_on' }), true);
  const wrong = [
    { OTEL_TRACES_SAMPLER: 'sometimes' },
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' },
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
  ];
  for (const env of wrong) await t.rejects(open(env), { code: 'CONFIG_INVALID' }, JSON.stringify(env));
});
