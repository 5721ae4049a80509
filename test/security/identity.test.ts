import fc from 'fast-check';
import t from 'tap';
import {
  formatIdentity,
  MEMBER_ROLES,
  parseIdentity,
  peerIdOf,
  uriNames,
} from '../../lib/security/identity.ts';

const letters = (text: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...text), minLength: 1, maxLength });
const segment = letters('abcXYZ019._-', 64).filter((text) => text !== '.' && text !== '..');
const identity = fc.record({
  cluster: letters('abc019._-', 255),
  role: fc.constantFrom(...MEMBER_ROLES),
  name: segment,
  zone: fc.oneof(fc.constant(''), segment),
});

t.test('an identity is written as a SPIFFE id and read back', async (t) => {
  t.equal(
    formatIdentity({ cluster: 'damselfly', role: 'node', name: 'ab', zone: '' }),
    'spiffe://damselfly/node/ab',
  );
  fc.assert(
    fc.property(identity, (value) => {
      t.same(parseIdentity(formatIdentity(value)), value);
    }),
  );
});

t.test('whatever else is read as an identity is what would have been written', async () => {
  const near = fc
    .tuple(
      identity,
      fc.nat(),
      fc.constantFrom('', '/', '//', '..', '%2e', '?', '#', 'A', '\0', '/zone/', '@', ':1'),
    )
    .map(([value, at, junk]) => {
      const text = formatIdentity(value);
      const cut = at % (text.length + 1);
      return text.slice(0, cut) + junk + text.slice(cut);
    });
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ maxLength: 3000 })), (text) => {
      const parsed = parseIdentity(text);
      return parsed === undefined || formatIdentity(parsed) === text;
    }),
    { numRuns: 5000 },
  );
});

t.test('what is no identity', async (t) => {
  for (const text of [
    'spiffe://damselfly/root/ab',
    'spiffe://damselfly/node/..',
    'spiffe://damselfly/node/',
    'spiffe://damselfly/node/ab/',
    'spiffe://damselfly/node/ab/zone/',
    'spiffe://damselfly/node/ab/zone/eu//1',
    'spiffe://damselfly/node/ab/rack/eu',
    'spiffe://DAMSELFLY/node/ab',
    'spiffe:///node/ab',
    'https://damselfly/node/ab',
    `spiffe://damselfly/node/${'a'.repeat(65)}`,
  ]) {
    t.equal(parseIdentity(text), undefined, text);
  }
});

t.test('a name that is an id is the id; any other has one of its own', async (t) => {
  const named = (name: string, role: 'node' | 'supernode' = 'node') =>
    peerIdOf({ cluster: 'damselfly', role, name, zone: '' });
  t.equal(named('a'.repeat(40)), 'a'.repeat(40));
  t.match(named('worker-1'), /^[0-9a-f]{40}$/);
  t.not(named('worker-1'), named('worker-2'));
  t.not(named('worker-1'), named('worker-1', 'supernode'));
});

t.test('names of a certificate cannot be smuggled in through other names', async (t) => {
  const uris = (subjectAltName: string) => uriNames({ subjectAltName });
  t.same(uris('URI:spiffe://c/node/a'), ['spiffe://c/node/a']);
  t.same(uris('DNS:host, URI:spiffe://c/node/a, IP Address:127.0.0.1'), ['spiffe://c/node/a']);
  t.same(uris('URI:spiffe://c/node/a, URI:spiffe://c/tracker/a'), [
    'spiffe://c/node/a',
    'spiffe://c/tracker/a',
  ]);
  // As Node writes a DNS name with a comma in it.
  t.same(uris('DNS:"host, URI:spiffe://c/tracker/a"'), []);
  t.same(uris('DNS:"a\\", URI:spiffe://c/tracker/a, DNS:\\""'), []);
  t.same(uris(''), []);
});
