import t from 'tap';
import { skipReason } from '../helpers/clients/client.ts';
import { preheatsAll } from '../helpers/preheating.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const NODES = 20;
/** What it takes where other work has most of the machine; alone it is some seconds. */
const PREHEAT_MS = 300_000;

t.test(
  'an image to twenty nodes that run: the registry sends it once, and no pull asks for a blob',
  { skip: skipReason({ programs: ['docker-registry'] }) },
  async (t) => {
    await using stage = await createStage('preheat-20', { image: { totalBytes: 128 * MIB, layers: 4 } });
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 2, secure: true });
    await preheatsAll(t, stage, cluster, PREHEAT_MS);
  },
);
