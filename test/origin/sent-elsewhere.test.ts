import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { OriginResponse } from '../../lib/origin/origin-client.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';

const BYTES = Buffer.from('a layer');
const { signal } = new AbortController();

/** Reads a blob of a registry that redirects. @returns the hosts that were asked */
async function hostsAsked(url: string, location: string): Promise<readonly string[]> {
  const asked: string[] = [];
  const connect = () => ({
    async exchange(request: { readonly url: URL }): Promise<OriginResponse> {
      asked.push(request.url.host);
      const isRegistry = request.url.host === new URL(url).host;
      async function* body() {
        if (!isRegistry) yield BYTES;
      }
      const headers: Record<string, string> = isRegistry
        ? { location, 'content-length': '0' }
        : { 'content-length': String(BYTES.length) };
      return { status: isRegistry ? 307 : 200, headers, body: body() };
    },
    finish: async () => {},
    close: async () => {},
  });
  const client = createOriginClient({
    ...{ upstreams: [{ name: 'reg', url }], log: silentLog(), clock: createSystemClock(), connect },
  });
  const read = { origin: { upstream: 'reg', repository: 'a/b' }, digest: digestOf(BYTES) };
  try {
    const body = await client.readBlob(read, { signal });
    const bytes = body.bytes[Symbol.asyncIterator]();
    while ((await bytes.next()).done !== true);
  } catch (error) {
    t.match(error, { code: 'UPSTREAM_BROKEN' }, location);
  } finally {
    await client.close();
  }
  return asked;
}

t.test(
  'case 46: a registry sends nobody to this machine, its cloud, or the ports of other services',
  async (t) => {
    for (const location of [
      ...[
        'http://127.0.0.1:5000/x',
        'http://localhost/x',
        'http://[::1]/x',
        'http://0.0.0.0/x',
        'http://2130706433/x',
      ],
      ...['http://[::ffff:127.0.0.1]/x', 'http://[64:ff9b::7f00:1]/x', 'http://[2002:7f00:1::]/x'],
      ...['http://169.254.169.254/x', 'http://metadata.google.internal/x', 'http://100.100.100.200/x'],
      ...[
        'http://storage.corp:22/x',
        'https://storage.corp:25/x',
        'ftp://storage.corp/x',
        'http://224.0.0.1/x',
      ],
    ]) {
      const asked = await hostsAsked('https://harbor.corp', location);
      t.ok(asked.length > 0);
      t.ok(
        asked.every((host) => host === 'harbor.corp'),
        location,
      );
    }
  },
);

t.test('storage elsewhere is followed to, also in private networks', async (t) => {
  for (const host of ['storage.corp', '10.0.0.5:9000', '[fd00::5]:9000', 's3.amazonaws.com']) {
    t.same(await hostsAsked('https://harbor.corp', `http://${host}/x`), ['harbor.corp', host]);
  }
});

t.test('a registry on this machine may have its storage here too', async (t) => {
  const asked = await hostsAsked('http://127.0.0.1:5000', 'http://localhost:9000/x');
  t.same(asked, ['127.0.0.1:5000', 'localhost:9000']);
});
