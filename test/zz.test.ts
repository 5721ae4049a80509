import t from 'tap';
t.test('skipped one', { skip: 'no client' }, async () => {});
t.test('parallel', async (t) => { t.jobs = 2; t.ok(1); t.test('a', {buffered: true}, async (t) => t.ok(1)); t.test('b', {buffered:true}, async (t) => t.ok(1)); });
t.test('buffered at depth 1', { buffered: true }, async (t) => t.ok(true));
