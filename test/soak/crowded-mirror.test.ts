import t from 'tap';
import { skipReason } from '../helpers/clients/client.ts';
import { pullBesideCrowd } from '../helpers/crowded-mirror.ts';

const MIB = 1024 * 1024;
const BUFFER_MIB = 256;
/** Of a connection that is open: Node's and the kernel's objects for it, and what of an answer waits to be taken. */
const BYTES_A_CONNECTION = 24 * 1024;
/** Of a slow reader, when the memory for pieces is in the hands of others. */
const BYTES_A_READER = 64 * 1024;
const CROWD = { idle: 10_000, slow: 1_000, seconds: 60, bufferMib: BUFFER_MIB };

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

t.test(
  'case 54: beside 10,000 idle connections and 1,000 slow readers a pull runs at 0.8x or more, in bounded memory',
  { skip: skipReason({ programs: ['docker-registry'] }), timeout: 300_000 },
  async (t) => {
    const { alone, beside, peakBytes, restBytes, right, stayed } = await pullBesideCrowd(CROWD);
    const ratio = median(alone) / median(beside);
    const grownMib = (peakBytes - restBytes) / MIB;
    t.comment(
      `${ratio.toFixed(2)}x (${median(alone).toFixed(3)} s alone, ${median(beside).toFixed(3)} s beside), ` +
        `${(restBytes / MIB).toFixed(0)} + ${grownMib.toFixed(0)} MiB, ${stayed} connections stayed`,
    );
    t.ok(right, 'every pull brought the right bytes');
    t.ok(ratio >= 0.8, `${ratio.toFixed(2)}x`);
    const outside = (CROWD.idle + CROWD.slow) * BYTES_A_CONNECTION + CROWD.slow * BYTES_A_READER;
    const bound = BUFFER_MIB + outside / MIB;
    t.ok(grownMib <= bound, `${grownMib.toFixed(0)} MiB more, at most ${bound.toFixed(0)}`);
  },
);
