import t from 'tap';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { simulatedBlob } from '../../bench/simulate/scenario.ts';
import { imageBytesOf, MIB, originRatio, simulate } from './simulated.ts';

for (const profile of [PROFILES.reference, PROFILES.daemon]) {
  t.test(
    `zones with seeds, ${profile.name}: the image is read once, and comes into each zone once`,
    async (t) => {
      const change = {
        ...{ profile, nodes: 24, zones: 4, seeds: 8, zoneRate: 50 * MIB },
        blobs: [simulatedBlob(40 * MIB, MIB), simulatedBlob(8 * MIB, MIB)],
      };
      const outcome = simulate(change);
      t.equal(originRatio(outcome, change), 1);
      // Of each piece one zone has the reader, and three import it.
      t.equal(outcome.crossZoneBytes, 3 * imageBytesOf(change));
    },
  );
}

t.test('a narrow border is not crossed again because it is slow, nor gone around', async (t) => {
  const change = { nodes: 40, zones: 4, seeds: 4, zoneRate: 5 * MIB, seedRate: 100 * MIB };
  const outcome = simulate(change);
  t.equal(originRatio(outcome, change), 1);
  t.equal(outcome.crossZoneBytes, 3 * imageBytesOf(change));
});

t.test(
  'one of a crowd that is slow to pass on what it was given has no second copy sent across a border',
  async (t) => {
    const change = {
      ...{ nodes: 600, zones: 4, seeds: 3, seedRate: 330 * MIB },
      blobs: [simulatedBlob(300 * MIB, MIB)],
    };
    const outcome = simulate(change);
    t.equal(originRatio(outcome, change), 1);
    const crossed = outcome.crossZoneBytes / imageBytesOf(change);
    t.ok(crossed <= 3.02, `${crossed.toFixed(3)} times the image instead of 3`);
  },
);

t.test('a seed that dies in the middle is stood in for', async (t) => {
  const change = { nodes: 24, zones: 3, seeds: 6, seedCrash: { count: 1, atMs: 300 } };
  const outcome = simulate(change);
  t.ok(
    outcome.seconds.every((seconds) => seconds > 0),
    'every node has everything',
  );
  t.ok(originRatio(outcome, change) < 1.5);
});
