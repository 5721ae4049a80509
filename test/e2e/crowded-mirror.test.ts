import t from 'tap';
import { skipReason } from '../helpers/clients/client.ts';
import { pullBesideCrowd } from '../helpers/crowded-mirror.ts';

const MIB = 1024 * 1024;
const BUFFER_MIB = 32;

t.test(
  'case 54: idle connections and slow readers take nobody’s pull, and no more memory than there is for it',
  { skip: skipReason({ programs: ['docker-registry'] }), timeout: 120_000 },
  async (t) => {
    const crowd = { idle: 1_000, slow: 100, seconds: 4, bufferMib: BUFFER_MIB };
    const { beside, peakBytes, restBytes, right } = await pullBesideCrowd(crowd);
    t.ok(right, 'every pull brought the right bytes');
    t.ok(beside.length > 0, `${beside.length} pulls beside the crowd`);
    t.ok(
      peakBytes - restBytes < (BUFFER_MIB + 96) * MIB,
      `${((peakBytes - restBytes) / MIB).toFixed(0)} MiB more`,
    );
  },
);
