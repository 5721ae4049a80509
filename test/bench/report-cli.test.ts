import t from 'tap';
import { DEFAULT_PAGE, readFlags } from '../../bench/report/cli.ts';
import { SCENARIOS } from '../../bench/report/scenarios.ts';

await t.test('only a whole report goes to the page of the project', async (t) => {
  t.match(readFlags([]), { out: DEFAULT_PAGE, scale: 1, profiles: ['reference', 'daemon'] });
  t.equal(readFlags([])?.scenarios.length, SCENARIOS.length + 1);
  for (const args of [
    ['--only', 'crash'],
    ['--nodes-scale', '0.1'],
    ['--profiles', 'daemon'],
  ]) {
    t.equal(readFlags(args)?.out, undefined, args.join(' '));
    t.equal(readFlags([...args, '--out', '/x/y.md'])?.out, '/x/y.md');
  }
  t.same(
    readFlags(['--only', 'CRASH', '--only', 'zones'])?.scenarios.map(({ name }) => name),
    ['10 % crash at 5 s', 'seed crash at 1.5 s', '4 zones of 650'],
  );
  t.equal(readFlags(['--help']), undefined);
});

await t.test('a wrong flag is named, with what was expected', async (t) => {
  for (const [flag, text] of [
    ['--only', 'nothing'],
    ['--profiles', 'fast'],
    ['--nodes-scale', '0'],
    ['--nodes-scale', '2'],
    ['--jobs', '0'],
  ] as const) {
    t.throws(() => readFlags([flag, text]), { code: 'CONFIG_INVALID', message: new RegExp(`^${flag}`) });
  }
  t.throws(() => readFlags(['--wrong']), TypeError);
});
