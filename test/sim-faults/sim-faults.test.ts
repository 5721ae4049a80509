import t from 'tap';
import { drawPlan, withIdentities } from './plan.ts';
import { simulate } from './simulate.ts';

/** As many as take a quarter of a minute; more, and others, by `npm run test:sim-faults`. */
const SEEDS = 50;
/** Seeds that once found a bug, and what it was. */
const FOUND: Readonly<Record<number, string>> = {
  82: 'a node refused for ever what was right, because it had come mixed with what was wrong',
  1108: 'a client waited for ever for a piece that was lost on disk, and that neighbours believed to be there',
  20656: 'a fallback read on and on, without a pause, from a registry that it did not know any more',
  42285: 'a fallback that had lost its lease kept for ever the pieces that it would have read next',
  10387: 'a fallback went round for ever, without a pause, once all of its blob had turned out wrong',
  1143: 'a supernode whose disk was full never gave back the memory of a piece',
  10861: 'a client waited for ever beside a supernode that kept its links and sent no bytes of pieces',
  50586: 'a node whose disk could not note that a blob was wrong believed for ever to hold all of it',
  100932:
    'a blob of which the disk could not read a piece once was never checked again, and its client waited for ever',
  101192: 'a node read on from a slow registry, for seconds, what the swarm had brought meanwhile',
  105338: 'what a peer said on the second of two links was taken for a breach of the protocol',
  320176: 'who was refused a hedge looked away for two seconds, and stepped in after 7 s without a byte',
  500602:
    'who could read past its neighbours had always just asked another silent one for the piece, and left it',
  10484: 'a client that resumed past a failing disk got a complete wrong blob from a lying registry',
  803610: 'records that could not be written when a blob was closed were never tried again',
};
/** The same, of those with identities. */
const FOUND_WITH_IDENTITIES: Readonly<Record<number, string>> = {
  301932: 'who had no right to a blob asked the registry for four of its pieces at a time, and took minutes',
  350128: 'a tracker that waited for the hello of a machine without power was taken for a bug',
  350354: 'a connection that a dead process had asked for came about, and nobody said hello on it',
  350567: 'of six nodes with wrong proofs four may step aside at once, and the others were taken for stalled',
  352075:
    'the same among eight nodes, after each had held what the registry had lied about against its digest',
  352082: 'who was refused a lease looked away for two seconds, while its client waited for what nobody gave',
  352381:
    'of seven nodes four stepped aside on links that need seconds, and the others were taken for stalled',
  353360:
    'who was refused a lease looked away for two seconds, in a cluster where nothing went wrong any more',
  352846: 'who had read all of a blob without a right to it gave it to none of those that had asked before',
  356032: 'who had read all for everybody spoiled what it sent, and nobody else read what was left',
  811229:
    'a client was given the rest of a right blob behind a wrong piece from before its disk failed, as if it were all',
  812388: 'past a full store a client was cut off whenever the registry cut a connection',
};
/** Of those with identities, where every proof is signed and checked. */
const IDENTITY_SEEDS = 12;
const MINUTES_MS = 60_000;

t.test(`nothing breaks in ${SEEDS} clusters, whatever goes wrong`, { timeout: 4 * MINUTES_MS }, async (t) => {
  const failed: unknown[] = [];
  let pulls = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate(drawPlan(seed));
    pulls += outcome.pulls;
    if (outcome.violation !== undefined) failed.push({ seed, ...outcome.violation });
  }
  t.same(failed, [], 'again with: npm run test:sim-faults -- --first-seed SEED --seeds 1 --trace');
  t.ok(pulls > 5 * SEEDS, `${pulls} pulls`);
});

t.test(`nor in ${IDENTITY_SEEDS} clusters with identities and capabilities`, async (t) => {
  const faults = new Set<string>();
  for (let seed = 1; seed <= IDENTITY_SEEDS; seed++) {
    const plan = withIdentities(drawPlan(seed));
    for (const { kind } of plan.faults) faults.add(kind);
    t.equal((await simulate(plan)).violation, undefined, `--identities --first-seed ${seed}`);
  }
  t.ok(faults.has('capabilities-expire') && faults.has('registry-mints-nothing'));
});

for (const [seed, bug] of Object.entries(FOUND)) {
  t.test(`seed ${seed}: ${bug}`, async (t) => {
    t.equal((await simulate(drawPlan(Number(seed)), { stalls: true })).violation, undefined);
  });
}

for (const [seed, bug] of Object.entries(FOUND_WITH_IDENTITIES)) {
  t.test(`seed ${seed} with identities: ${bug}`, async (t) => {
    const plan = withIdentities(drawPlan(Number(seed)));
    t.equal((await simulate(plan, { stalls: true })).violation, undefined);
  });
}

t.test('the same seed gives the same run, to the step', async (t) => {
  for (const plan of [...[3, 4, 13].map(drawPlan), withIdentities(drawPlan(13))]) {
    const first = await simulate(plan);
    t.same(await simulate(plan), first);
    t.ok(first.steps > 500, `${first.steps} steps`);
  }
  t.not((await simulate(drawPlan(4))).hash, (await simulate(drawPlan(13))).hash);
});
