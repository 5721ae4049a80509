import t from 'tap';
import { trackerLineSeconds } from '../../bench/simulate/limit.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { imageBytes, type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { REQUESTS_OF_CALLER } from '../../bench/simulate/swarm/joining.ts';
import { BASE, MIB, originRatio, simulate } from './simulated.ts';

const JOIN_TAKES_TIME = { ...PROFILES.reference, joinTakesTime: true };

await t.test('callers come evenly spread, and who comes later finds more to take from', async (t) => {
  const outcome = simulate({ nodes: 30, joinOverMs: 3000 });
  const joined = [...outcome.joinedAt].sort((a, b) => a - b).map((at) => Math.round(at * 1000));
  t.same(
    joined,
    Array.from({ length: 30 }, (_, rank) => rank * 100),
  );
  t.notSame(
    [...outcome.joinedAt],
    joined.map((at) => at / 1000),
    'in random order',
  );
  for (const seconds of outcome.seconds) t.ok(seconds >= 1 && seconds < 1.05, `${seconds} s`);
  t.equal(originRatio(outcome), 1);
});

await t.test('each zone imports the image once', async (t) => {
  for (const [seeds, zones] of [
    [3, 4],
    [1, 3],
    [2, 2],
  ] as const) {
    const outcome = simulate({ nodes: 80, seeds, zones });
    t.equal(originRatio(outcome), 1);
    // A piece is read once, so it begins in one zone and must come to each of the others.
    const crossed = outcome.crossZoneBytes / (100 * MIB);
    t.ok(crossed >= zones - 1 && crossed < zones - 1 + 0.1, `${seeds} seeds, ${zones} zones: ${crossed}`);
  }
  t.equal(simulate({}).crossZoneBytes, 0);
});

await t.test('borders with a rate set the pace', async (t) => {
  const limited = { zones: 4, zoneRate: 50 * MIB };
  const outcome = simulate(limited);
  for (const [node, seconds] of outcome.seconds.entries()) {
    // Seeds are in zones 0 to 2, and each of them reads a third of the blob.
    const imported = node % 4 === 3 ? 1 : 2 / 3;
    t.ok(seconds >= imported * 2 && seconds < 3, `node ${node}: ${seconds} s`);
  }
  const crossed = outcome.crossZoneBytes / (100 * MIB);
  t.ok(crossed >= 3 && crossed < 3.3, `${crossed}`);
  t.same(
    simulate({ zones: 4, zoneRate: 1e9 * MIB }).seconds,
    simulate({ zones: 4 }).seconds,
    'a limit that nothing comes near changes nothing',
  );
});

await t.test('distance costs what it must', async (t) => {
  const near = simulate({ zones: 4 });
  const far = simulate({ zones: 4, zoneLatencyMs: 20 });
  t.ok(Math.max(...far.seconds) > Math.max(...near.seconds) + 0.02);
  t.ok(Math.max(...far.seconds) < Math.max(...near.seconds) + 0.6, `${Math.max(...far.seconds)} s`);
});

await t.test('all layers of an image come, and the first one can be read before the last', async (t) => {
  const images: readonly Scenario['blobs'][] = [
    [simulatedBlob(40 * MIB, MIB), simulatedBlob(1000), simulatedBlob(60.5 * MIB, MIB)],
    [simulatedBlob(3 * MIB, MIB), simulatedBlob(80 * MIB, 4 * MIB)],
    Array.from({ length: 40 }, (_, layer) => simulatedBlob(1000 + layer)),
    [simulatedBlob(1), simulatedBlob(100 * MIB, MIB), simulatedBlob(MIB + 1, MIB)],
  ];
  for (const profile of Object.values(PROFILES)) {
    for (const blobs of images) {
      const { seconds, firstByteSeconds, originBytes } = simulate({ profile, blobs });
      const bytes = imageBytes({ ...BASE, blobs });
      t.equal(originBytes, bytes, 'every byte is read once');
      const bound = bytes / BASE.nodeRate;
      const rounds = (10 * Math.max(...blobs.map(({ pieceBytes }) => pieceBytes))) / BASE.nodeRate;
      const [first, last] = [Math.min(...seconds), Math.max(...seconds)];
      t.ok(first >= bound && last < bound * 1.1 + rounds + 0.1, `${first} to ${last} s, at least ${bound}`);
      for (const [node, at] of firstByteSeconds.entries()) {
        t.ok(at > 0 && at <= seconds[node]! && at < 0.6, `first byte: ${at} s of ${seconds[node]}`);
      }
    }
  }
});

await t.test('requests wait in line at the registry', async (t) => {
  const perSecond = 100;
  const outcome = simulate({ nodes: 30, profile: JOIN_TAKES_TIME, registryRequestRate: perSecond });
  const sorted = [...outcome.seconds].sort((a, b) => a - b);
  sorted.forEach((seconds, rank) => {
    const starts = ((rank + 1) * REQUESTS_OF_CALLER) / perSecond;
    t.ok(seconds >= starts + 1 && seconds < starts + 1.2, `number ${rank}: ${seconds} s after ${starts}`);
  });
  t.equal(originRatio(outcome), 1, 'who waits in line does not read for itself');
  const free = simulate({ nodes: 30, profile: JOIN_TAKES_TIME });
  t.ok(Math.max(...free.seconds) < 1.3);
});

await t.test('who stands in line at the registry keeps nobody waiting at the tracker', async (t) => {
  const change = { profile: PROFILES.daemon, registryRequestRate: 50, seedCrash: { count: 1, atMs: 300 } };
  const sorted = [...simulate(change).seconds].sort((a, b) => a - b);
  // Three are there when the only owner dies, and the next ones come each 80 ms; the last one at 4.8 s.
  t.ok(sorted[5]! < 1.8, `${sorted[5]} s`);
});

await t.test('requests at the registry: four of each caller, and reads of the seeds', async (t) => {
  // One seed reads the layer from end to end in one request.
  t.equal(simulate({ nodes: 30, seeds: 1 }).originRequests, 30 * REQUESTS_OF_CALLER + 1);
  const alone = { ...PROFILES.daemon, owners: 1 };
  t.equal(simulate({ nodes: 30, profile: alone }).originRequests, 30 * REQUESTS_OF_CALLER + 1);
  const layers = [simulatedBlob(10 * MIB, MIB), simulatedBlob(20 * MIB, MIB), simulatedBlob(1000)];
  t.equal(simulate({ nodes: 30, seeds: 1, blobs: layers }).originRequests, 30 * REQUESTS_OF_CALLER + 3);
  // Of three each reads its pieces over one connection, or asks for one stripe after the other.
  t.equal(simulate({ nodes: 30 }).originRequests, 30 * REQUESTS_OF_CALLER + 3);
  const stripes = Math.ceil(100 / 16);
  t.equal(
    simulate({ nodes: 30, profile: PROFILES.daemon }).originRequests,
    30 * REQUESTS_OF_CALLER + stripes,
  );
});

await t.test('the last of a crowd has nothing before its turn at the tracker', async (t) => {
  const profile = { ...PROFILES.daemon, messageMs: 2, announceMs: 1 };
  const lastFirstByte = (nodes: number, layers: number): number => {
    const blobs = Array.from({ length: layers }, () => simulatedBlob(MIB));
    return Math.max(...simulate({ nodes, profile, blobs }).firstByteSeconds);
  };
  const [answered, last] = [trackerLineSeconds(profile, 100), lastFirstByte(100, 1)];
  t.ok(
    last > answered && last < answered + 0.1,
    `one layer: ${last} s, all are answered after ${answered} s`,
  );
  const nodes = 40;
  const read = (nodes * (profile.messageMs + profile.announceMs)) / 1000;
  const [line, late] = [trackerLineSeconds(profile, nodes), lastFirstByte(nodes, 12)];
  t.ok(
    late > read && late < line,
    `12 layers: ${late} s, all are read after ${read} s; one by one ${line} s`,
  );
});

await t.test('what the machines cost is charged in the daemon profile', async (t) => {
  const alone = { nodes: 1, seeds: 1, nodeRate: 400 * MIB };
  const free = PROFILES.reference.cpuSecondsPerGB;
  const at = (cost: Partial<typeof free>): number => {
    const cpuSecondsPerGB = { ...free, ...cost };
    return simulate({ ...alone, profile: { ...PROFILES.reference, cpuSecondsPerGB } }).seconds[0]!;
  };
  // 0.105 GB at 10 s a GB: more than the link needs.
  for (const slow of [at({ check: 10 }), at({ digest: 10 }), at({ check: 4, digest: 6 })]) {
    t.ok(slow >= 1.048576 && slow < 1.048576 * 1.02, `${slow} s`);
  }
  t.ok(at({ write: 10 }) < at({}) + 0.02, 'pieces are written side by side');
  t.ok(at({ check: 1 }) < at({}) + 0.005, 'a CPU that keeps up costs the last piece only');
});
