import fc from 'fast-check';
import t from 'tap';
import { type Behaviour, Mesh } from './mesh.ts';

function everyNth(n: number, behaviour: Behaviour): (node: number) => Behaviour {
  return (node) => (node % n === n - 1 ? behaviour : 'good');
}

function mixed(node: number): Behaviour {
  return (['good', 'good', 'corrupt', 'good', 'stall', 'good', 'crash'] as const)[node % 7]!;
}

for (const [name, behaviour] of [
  ['of honest nodes', () => 'good'],
  ['in which every fifth node sends wrong bytes', everyNth(5, 'corrupt')],
  ['in which every fifth node accepts requests and sends nothing', everyNth(5, 'stall')],
  ['in which every fifth node crashes', everyNth(5, 'crash')],
  ['with liars, sleepers and casualties', mixed],
] as [string, (node: number) => Behaviour][]) {
  await t.test(`a swarm of 50 ${name} completes`, async (t) => {
    for (let rngSeed = 1; rngSeed <= 3; rngSeed++) {
      const mesh = new Mesh({ nodes: 50, seeds: 2, pieces: 64, rngSeed, behaviour });
      t.ok(mesh.run(), `with random seed ${rngSeed}, after ${mesh.now.toFixed(0)} ms`);
      t.same(mesh.broken, []);
    }
  });
}

await t.test('the same random seed gives the same run', async (t) => {
  const run = (rngSeed: number): number => {
    const mesh = new Mesh({ nodes: 30, seeds: 1, pieces: 32, rngSeed, behaviour: mixed });
    mesh.run();
    return mesh.now;
  };
  t.equal(run(7), run(7));
  t.not(run(7), run(8));
});

await t.test('a swarm whose seed holds everything always completes', async () => {
  fc.assert(
    fc.property(
      fc.record({
        nodes: fc.integer({ min: 1, max: 20 }),
        seeds: fc.integer({ min: 1, max: 3 }),
        pieces: fc.integer({ min: 1, max: 70 }),
        rngSeed: fc.nat(),
        bad: fc.array(fc.constantFrom<Behaviour>('good', 'corrupt', 'stall', 'crash'), {
          minLength: 20,
          maxLength: 20,
        }),
      }),
      ({ bad, ...options }) => {
        const mesh = new Mesh({ ...options, behaviour: (node) => bad[node]! });
        if (!mesh.run()) throw new Error('came to a halt');
        if (mesh.broken.length > 0) throw new Error(mesh.broken.join('; '));
      },
    ),
    { numRuns: 60, seed: 1 },
  );
});
