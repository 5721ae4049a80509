import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
/** From the command to the last node, and so long is a node asked whether it knows. */
const IN_FORCE_MS = 5_000;
const NODES = 3;

const everywhere = (...names: string[]): string[][] => Array.from({ length: NODES }, () => names);

t.test(
  'pause and resume of a whole cluster, by who holds its authority and by nobody else',
  { skip },
  async (t) => {
    await using stage = await createStage('pause', { image: { totalBytes: 6 * MIB, layers: 2 } });
    // Without the DHT a tracker is all that the switch goes by.
    const daemonFlags = ['--discovery', 'tracker'];
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, daemonFlags });
    const tracker = `wss://${cluster.tracker.ready.listen}`;
    /** What the operator says, who holds the cluster's authority. */
    const asOperator = ['--tracker', tracker, '--ca-dir', cluster.caDir ?? ''];
    const layer = stage.image.layers[0]?.digest ?? '';
    const socket = (index: number): string => cluster.daemons[index]?.ready.socket ?? '';

    const damselfly = async (...args: string[]) => {
      const { code, stdout, output } = await run(join(import.meta.dirname, '../../bin/damselfly'), args);
      return { code, stdout, output };
    };
    /** Bytes that the registry sends while each node's client reads a layer. */
    const originBytes = async (): Promise<number[]> => {
      const bytes: number[] = [];
      for (const daemon of cluster.daemons) {
        const since = await stage.registry.counters();
        const answer = await fetch(
          `${proxyUrl(daemon)}/v2/${stage.repository}/blobs/${layer}?ns=${NAMESPACE}`,
        );
        t.equal(answer.status, 200);
        const { byteLength } = await answer.arrayBuffer();
        t.equal(byteLength, stage.image.layers[0]?.size, 'the layer is whole');
        bytes.push(countersSince(since, await stage.registry.counters()).bytes);
      }
      return bytes;
    };
    /** What each node says is paused, as soon as all say what is wanted, or when the time is over. */
    const pausedOn = async (wanted: readonly string[]): Promise<string[][]> => {
      const sinceMs = performance.now();
      for (;;) {
        const said = await Promise.all(
          cluster.daemons.map(async ({ ready }) => {
            const { notes } = (await (await fetch(`http://${ready.admin}/readyz`)).json()) as {
              notes: string[];
            };
            return notes.flatMap((note) => /^paused: pulls of (\S+)/.exec(note)?.[1] ?? []);
          }),
        );
        if (isDeepStrictEqual(said, everywhere(...wanted))) return said;
        if (performance.now() - sinceMs > IN_FORCE_MS) return said;
      }
    };
    await originBytes();
    t.same(await originBytes(), [0, 0, 0], 'every node holds the layer');

    const byNode = await damselfly('pause', '--socket', socket(0));
    t.match(byNode, { code: 1, output: /IDENTITY_REFUSED: only who holds the cluster's authority/ });
    t.same(await pausedOn([]), everywhere(), 'no node may set anything for the others');
    const paused = await damselfly('pause', ...asOperator);
    t.match(paused, { code: 0, stdout: 'paused: all (the whole cluster)\n' });
    t.same(await pausedOn(['all']), everywhere('all'), 'on every node within 5 s');
    for (const bytes of await originBytes()) t.ok(bytes > MIB, `the registry sends it: ${bytes} bytes`);

    await t.test('a node that starts again, and one that was away, are paused', async () => {
      await cluster.daemons[1]?.kill('SIGKILL');
      const resumed = await damselfly('resume', '--json', ...asOperator);
      t.equal(resumed.code, 0, resumed.output);
      t.same(JSON.parse(resumed.stdout), { paused: [], otherSwitch: [], scope: 'cluster', confirmed: true });
      const again = await damselfly('pause', NAMESPACE, ...asOperator);
      t.match(again, { code: 0, stdout: `paused: ${NAMESPACE} (the whole cluster)\n` });
      await cluster.restartDaemon(1);
      t.same(await pausedOn([NAMESPACE]), everywhere(NAMESPACE));
    });

    t.match(await damselfly('resume', ...asOperator), { code: 0, stdout: /^nothing is paused/ });
    t.same(await pausedOn([]), everywhere());
    t.same(await originBytes(), [0, 0, 0], 'it comes from the nodes again');

    await cluster.tracker.kill('SIGKILL');
    const gone = await damselfly('pause', ...asOperator);
    t.match(gone, { code: 1, output: /TRACKER_UNREACHABLE/ });
    const alone = await damselfly('pause', '--this-node', '--socket', socket(0));
    t.match(alone, { code: 0, stdout: 'paused: all (this node)\n' });
    t.match(await originBytes(), [stage.image.layers[0]?.size, 0, 0]);
    const here = await damselfly('pause', '--this-node', '--tracker', tracker);
    t.match(here, { code: 2, output: /CONFIG_INVALID/ }, 'one or the other');
  },
);
