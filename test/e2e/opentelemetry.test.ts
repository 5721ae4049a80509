import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { type ReceivedSpan, startOtlpReceiver } from '../helpers/otlp-receiver.ts';
import { startRelay } from '../helpers/relay.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const dfget = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const [SERVER, CLIENT] = [2, 3];
const SECRET = `Basic ${Buffer.from('someone:a-password').toString('base64')}`;

/** As a client sends it that is traced. */
const traceOf = (digit: string, flags = '01') => ({
  traceId: digit.repeat(32),
  traceparent: `00-${digit.repeat(32)}-${digit.repeat(16)}-${flags}`,
});

t.test(
  'one trace leads from a client through node and supernode to the registry',
  { skip: skipReason({ programs: ['docker-registry'] }) },
  async (t) => {
    const receiver = await startOtlpReceiver();
    t.teardown(() => receiver.close());
    const stage = await createStage('opentelemetry', { image: { totalBytes: 8 * MIB, layers: 2 } });
    t.teardown(() => stage[Symbol.asyncDispose]());
    const relay = await startRelay(`http://${stage.upstream}`);
    t.teardown(() => relay.close());
    const env = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_BSP_SCHEDULE_DELAY: '200' };
    Object.assign(process.env, env);
    const flags = ['--otlp-endpoint', receiver.url];
    const cluster = await stage.startCluster({
      ...{ nodes: 1, supernodes: 1, daemonFlags: flags, supernodeFlags: flags },
      upstreams: { [NAMESPACE]: relay.url },
    });
    const [daemon] = cluster.daemons;
    const mirror = proxyUrl(daemon!);
    const path = `/v2/${stage.repository}`;
    const get = async (of: string, traceparent: string): Promise<number> => {
      const accept = stage.image.manifest.mediaType;
      const headers = { traceparent, accept, authorization: SECRET };
      const response = await fetch(`${mirror}${path}${of}?ns=${NAMESPACE}&_=signed`, { headers });
      await response.arrayBuffer();
      return response.status;
    };
    const [layer, other] = stage.image.layers.map(({ digest }) => digest);
    const withName = (trace: string, service: string, name: string): ReceivedSpan | undefined =>
      receiver.spans.find((each) => each.traceId === trace && each.service === service && each.name === name);

    const { traceId, traceparent } = traceOf('a');
    t.equal(await get(`/manifests/${stage.image.tag}`, traceparent), 200);
    t.equal(await get(`/blobs/${layer}`, traceparent), 200);
    const GET_BLOB = 'GET /v2/{name}/blobs/{digest}';
    // The image's config comes by itself, in the trace of the manifest that lists it.
    const ofLayer = (service: string, name: string): ReceivedSpan | undefined =>
      receiver.spans.find(
        ({ attributes, ...each }) =>
          each.traceId === traceId &&
          each.service === service &&
          each.name === name &&
          (attributes['damselfly.blob.digest'] === layer || String(attributes['url.full']).endsWith(layer!)),
      );
    const find = () => ({
      manifest: withName(traceId, 'damselfly-node', 'GET /v2/{name}/manifests/{reference}'),
      request: withName(traceId, 'damselfly-node', GET_BLOB),
      pull: ofLayer('damselfly-node', 'pull blob'),
      pieces: ofLayer('damselfly-node', 'get pieces'),
      seed: ofLayer('damselfly-supernode', 'seed blob'),
      read: ofLayer('damselfly-supernode', GET_BLOB),
    });
    await receiver.until(() => Object.values(find()).every(Boolean), 'whole trace');
    const { pieces, pull, read, request, seed } = find();
    t.equal(request?.parentSpanId, 'a'.repeat(16), "the client's span is the parent of the node's");
    t.equal(request?.kind, SERVER);
    t.equal(pull?.parentSpanId, request?.spanId);
    t.equal(seed?.parentSpanId, pull?.spanId, 'across the link from node to supernode');
    t.equal(pieces?.parentSpanId, pull?.spanId, 'what the supernode sent is a part of the pull');
    t.match(pieces?.attributes, {
      'damselfly.peer.role': 'supernode',
      'damselfly.bytes.received': pull?.attributes['damselfly.blob.size'],
      'server.address': '127.0.0.1',
    });
    const [asked, came] = [Number(pieces?.startTimeUnixNano), Number(pieces?.endTimeUnixNano)];
    const [begun, ended] = [Number(pull?.startTimeUnixNano), Number(pull?.endTimeUnixNano)];
    // Each span has its beginning from a clock of milliseconds.
    t.ok(begun <= asked + 2e6 && asked < came && came <= ended + 2e6, 'and within its time');
    t.equal(read?.parentSpanId, seed?.spanId);
    t.equal(read?.kind, CLIENT);
    const question = relay.seen.find(
      ({ method, url }) => method === 'GET' && url.includes(`/blobs/${layer}`),
    );
    t.equal(question?.headers['traceparent'], `00-${traceId}-${read?.spanId}-01`, 'the registry is told');
    t.match(request?.attributes, {
      'http.request.method': 'GET',
      'http.route': '/v2/{name}/blobs/{digest}',
      'http.response.status_code': 200,
      'url.path': `${path}/blobs/${layer}`,
      'url.scheme': 'http',
    });
    t.match(read?.attributes, {
      'server.address': '127.0.0.1',
      'url.full': `${relay.url}${path}/blobs/${layer}`,
    });
    t.ok([200, 206].includes(Number(read?.attributes['http.response.status_code'])));
    t.equal(pull?.attributes['damselfly.blob.digest'], layer);
    t.equal(pull?.attributes['damselfly.bytes.sent'], pull?.attributes['damselfly.blob.size']);

    const unsampled = traceOf('b', '00');
    t.equal(await get(`/blobs/${other}`, unsampled.traceparent), 200);
    const told = relay.seen.find(({ method, url }) => method === 'GET' && url.includes(`/blobs/${other}`));
    t.match(told?.headers['traceparent'], new RegExp(`^00-${unsampled.traceId}-[0-9a-f]{16}-00$`));

    const command = traceOf('c');
    const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, TRACEPARENT: command.traceparent };
    const pulled = (more: Record<string, string>) =>
      run(dfget, ['pull', `${NAMESPACE}/${stage.repository}:v1`, '--socket', daemon!.ready.socket], {
        env: { ...variables, ...more },
      });
    t.equal((await pulled({})).code, 0);
    const all = () => ({
      command: withName(command.traceId, 'dfget', 'dfget pull'),
      blob: withName(command.traceId, 'damselfly-node', 'pull blob'),
    });
    await receiver.until(() => Object.values(all()).every(Boolean), 'trace of the command');
    t.equal(all().command?.parentSpanId, 'c'.repeat(16), 'TRACEPARENT is the parent of the command');
    t.equal(all().blob?.parentSpanId, all().command?.spanId);

    t.equal((await pulled({ OTEL_EXPORTER_OTLP_PROTOCOL: '' })).code, 0);
    const binary = receiver.bodies.filter(({ type }) => type === 'application/x-protobuf');
    const id = Buffer.from(command.traceId, 'hex');
    t.ok(
      binary.some(({ bytes }) => bytes.includes(id) && bytes.includes('dfget pull')),
      'by default it is protobuf',
    );

    t.ok(receiver.bodies.every((body) => body.path === '/v1/traces'));
    t.notOk(
      receiver.spans.some((span) => span.traceId === unsampled.traceId),
      'what is not sampled is not sent',
    );
    const text = receiver.bodies.map(({ bytes }) => bytes.toString('latin1')).join('\n');
    for (const secret of [SECRET, SECRET.slice(6), 'a-password', 'signed']) {
      t.notOk(text.includes(secret), secret);
    }
  },
);
