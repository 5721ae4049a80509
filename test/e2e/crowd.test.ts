import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import t from 'tap';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { usageOf } from '../../bench/fixtures/usage.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const COLD_CLIENTS = 100;
const WARM_CLIENTS = 1000;
const PULLS_EACH = 2;
/** What a node with that many clients at once may grow to: far below a chunk of 1 MiB for each. */
const MAX_RSS_BYTES = 700 * MIB;

/** The digest of what comes, by one connection that is kept. @throws Error for anything but 200, and for a cut */
async function digestThrough(agent: Agent, url: string): Promise<string> {
  const request = httpRequest(url, { agent });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

t.test('a crowd of clients at one proxy', { skip }, async (t) => {
  await using stage = await createStage('crowd', { image: { totalBytes: 6 * MIB, layers: 2 } });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
  const [daemon] = cluster.daemons;
  const layer = stage.image.layers[0]?.digest ?? '';
  if (daemon === undefined) throw new Error('no daemon');
  const url = `${proxyUrl(daemon)}/v2/${stage.repository}/blobs/${layer}`;

  /** How many pulls of how many clients, all at once, brought something else than the layer. */
  const failures = async (clients: number, pulls: number): Promise<string[]> => {
    const failed: string[] = [];
    const one = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        for (let pull = 0; pull < pulls; pull++) {
          const digest = await digestThrough(agent, url);
          if (digest !== layer) failed.push(digest);
        }
      } catch (error) {
        failed.push((error as Error).message);
      } finally {
        agent.destroy();
      }
    };
    await Promise.all(Array.from({ length: clients }, one));
    return failed;
  };

  await t.test('a hundred ask for one cold blob: it is read once', async (t) => {
    const before = await stage.registry.counters();
    t.same(await failures(COLD_CLIENTS, 1), []);
    const { bytes, requests } = countersSince(before, await stage.registry.counters());
    t.equal(bytes, stage.image.layers[0]?.size);
    t.equal(requests, 2, 'one question about the right to it, one read');
  });

  await t.test('a thousand pull the warm blob again and again on kept connections', async (t) => {
    const before = await stage.registry.counters();
    t.same(await failures(WARM_CLIENTS, PULLS_EACH), []);
    t.equal(countersSince(before, await stage.registry.counters()).bytes, 0, 'nothing from the registry');
    const { peakRssBytes } = await usageOf([daemon.pid]);
    t.comment(`peak RSS of the daemon: ${Math.round(peakRssBytes / MIB)} MiB`);
    t.ok(peakRssBytes < MAX_RSS_BYTES, `${Math.round(peakRssBytes / MIB)} MiB`);
  });
});
