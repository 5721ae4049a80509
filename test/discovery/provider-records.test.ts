import { Key } from 'interface-datastore';
import t from 'tap';
import { ProviderRecords } from '../../lib/discovery/libp2p/provider-records.ts';

const key = (name: string, member: number): Key => new Key(`/dht/provider/${name}/member${member}`);
const value = Buffer.from('time');

async function list(records: ProviderRecords, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of records.query({ prefix })) found.push(entry.key.toString());
  return found;
}

t.test('records are found by their key, and all of them by what they have in common', async (t) => {
  const records = new ProviderRecords();
  for (const name of ['a', 'ab', 'b']) for (const member of [1, 2]) records.put(key(name, member), value);
  records.put(new Key('/peers/xyz'), value);
  t.same(await list(records, '/dht/provider/a'), ['/dht/provider/a/member1', '/dht/provider/a/member2']);
  t.equal((await list(records, '/dht/provider')).length, 6);
  t.same(await list(records, '/dht/provider/c'), []);
  t.same(await list(records, '/peers/'), ['/peers/xyz']);
  t.same(records.get(key('b', 2)), value);
  t.ok(records.has(key('b', 2)));
  records.delete(key('b', 2));
  records.delete(key('b', 2));
  t.notOk(records.has(key('b', 2)));
  t.throws(() => records.get(key('b', 2)), { name: 'NotFoundError' });
  t.equal(records.records, 6);
});

t.test('a key that everybody provides keeps the latest', async (t) => {
  const records = new ProviderRecords();
  for (let member = 0; member < 200; member++) records.put(key('a', member), value);
  records.put(key('a', 199), value);
  t.equal(records.records, 64);
  t.notOk(records.has(key('a', 0)));
  t.ok(records.has(key('a', 199)));
});

t.test('when there are too many records the oldest keys go', async (t) => {
  const records = new ProviderRecords(10);
  for (let n = 0; n < 10; n++) records.put(key(`k${n}`, 1), value);
  records.put(key('k0', 2), value);
  t.ok(records.records <= 10);
  t.ok(records.has(key('k0', 1)), 'it was written to again');
  t.notOk(records.has(key('k1', 1)));
});
