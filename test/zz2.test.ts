import t from 'tap';
t.test('fine', async (t) => t.ok(true));
setTimeout(() => { throw new Error('x') }, 200);
