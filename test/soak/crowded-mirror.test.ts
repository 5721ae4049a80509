import t from 'tap';
import { skipReason } from '../helpers/clients/client.ts';
import { pullBesideCrowd } from '../helpers/crowded-mirror.ts';

const MIB = 1024 * 1024;
const BUFFER_MIB = 256;
/** Of a connection that is open: Node's and the kernel's objects for it, and what of an answer waits to be taken. */
const BYTES_A_CONNECTION = 24 * 1024;
/** Of a slow reader, when the memory for pieces is in the hands of others. */
const BYTES_A_READER = 64 * 1024;
/** What the mirror holds at once: more come, and the idle ones make room. */
const MOST_CONNECTIONS = 10_000;
const CROWD = { idle: 10_000, slow: 1_000, seconds: 60, bufferMib: BUFFER_MIB };

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

t.test(
  'case 54: beside 10,000 idle connections and 1,000 slow readers a pull runs at 0.8x or more, in bounded memory',
  { skip: skipReason({ programs: ['docker-registry'] }), timeout: 500_000 },
  async (t) => {
    const { alone, beside, peakBytes, present, restBytes, right } = await pullBesideCrowd(CROWD);
    // Of neighbours in time: whatever else the machine does weighs on both.
    const ratio = median(alone.map((seconds, at) => seconds / (beside[at] ?? Number.POSITIVE_INFINITY)));
    const grownMib = (peakBytes - restBytes) / MIB;
    t.comment(
      `${ratio.toFixed(2)}x (${median(alone).toFixed(3)} s alone, ${median(beside).toFixed(3)} s beside), ` +
        `${(restBytes / MIB).toFixed(0)} + ${grownMib.toFixed(0)} MiB, ${present} connections, ` +
        `${beside.length} pulls`,
    );
    t.ok(right, 'every pull brought the right bytes');
    t.ok(present >= MOST_CONNECTIONS * 0.95, `${present} connections were there`);
    t.ok(beside.length >= 5, `${beside.length} pulls`);
    t.ok(ratio >= 0.8, `${ratio.toFixed(2)}x`);
    const outside = (CROWD.idle + CROWD.slow) * BYTES_A_CONNECTION + CROWD.slow * BYTES_A_READER;
    const bound = BUFFER_MIB + outside / MIB;
    t.ok(grownMib <= bound, `${grownMib.toFixed(0)} MiB more, at most ${bound.toFixed(0)}`);
  },
);
