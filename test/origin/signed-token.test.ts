import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import t from 'tap';
import { createTokenVerifier } from '../../lib/origin/signed-token.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: typeof rsa.publicKey): string => key.export({ type: 'spki', format: 'pem' }).toString();
const keys = `${pem(rsa.publicKey)}\n${pem(ec.publicKey)}`;

const NOW_MS = 1_700_000_000_000;
const CLAIMS = {
  iss: 'issuer',
  aud: 'service',
  sub: 'alice',
  exp: NOW_MS / 1000 + 60,
  nbf: NOW_MS / 1000 - 10,
  access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
};
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(claims: object, header: object = { alg: 'RS256' }, key = rsa.privateKey): string {
  const signed = `${part(header)}.${part({ ...CLAIMS, ...claims })}`;
  return `Bearer ${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

await t.test('a token that is signed, meant, valid and granting is believed', async (t) => {
  const grants = createTokenVerifier({ keys, issuer: 'issuer', service: 'service' });
  const believed: [string, string][] = [
    ['RS256', token({})],
    ['ES256', token({}, { alg: 'ES256' }, ec.privateKey)],
    ['several audiences', token({ aud: ['x', 'service'] })],
    ['everything', token({ access: [{ type: 'repository', name: 'team/app', actions: ['*'] }] })],
    ['a clock that is a little ahead', token({ nbf: NOW_MS / 1000 + 50 })],
  ];
  for (const [name, each] of believed) t.equal(grants(each, 'team/app', NOW_MS), true, name);
});

await t.test('any other token grants nothing', async (t) => {
  const grants = createTokenVerifier({ keys, issuer: 'issuer', service: 'service' });
  const access = (entry: object): string => token({ access: [entry] });
  const [head = '', payload = '', signature = ''] = token({}).split('.');
  const forged = `${head}.${part({ ...CLAIMS, sub: 'mallory' })}`;
  const hmacHead = part({ alg: 'HS256' });
  const hmac = createHmac('sha256', pem(rsa.publicKey)).update(`${hmacHead}.${payload}`).digest('base64url');
  const jwk = other.publicKey.export({ format: 'jwk' });
  const refused: [string, string][] = [
    ['run out', token({ exp: NOW_MS / 1000 })],
    ['without an end', token({ exp: undefined })],
    ['not yet valid', token({ nbf: NOW_MS / 1000 + 120 })],
    ['of another issuer', token({ iss: 'x' })],
    ['for another service', token({ aud: 'x' })],
    ['without grants', token({ access: [] })],
    ['with grants of another form', token({ access: 'pull' })],
    ['for another repository', access({ type: 'repository', name: 'team/app2', actions: ['pull'] })],
    ['for pushing', access({ type: 'repository', name: 'team/app', actions: ['push'] })],
    ['for the registry', access({ type: 'registry', name: 'team/app', actions: ['pull'] })],
    ['signed by another key', token({}, { alg: 'RS256' }, other.privateKey)],
    ['with a key of its own', token({}, { alg: 'RS256', jwk }, other.privateKey)],
    ['changed', `${forged}.${signature}`],
    ['not signed', `Bearer ${part({ alg: 'none' })}.${payload}.x`],
    ['without a signature', `${head}.${payload}.`],
    ['signed with the public key as a secret', `Bearer ${hmacHead}.${payload}.${hmac}`],
    ['of an algorithm that objects have', `Bearer ${part({ alg: 'constructor' })}.${payload}.${signature}`],
    ['with demands that nobody knows', token({}, { alg: 'RS256', crit: ['x'] })],
    ['not a token', 'Bearer opaque'],
    ['not JSON', 'Bearer YQ.YQ.YQ'],
    ['Basic', 'Basic YTpi'],
    ['too long', `Bearer ${'a'.repeat(70_000)}.a.a`],
  ];
  for (const [name, each] of refused) t.equal(grants(each, 'team/app', NOW_MS), false, name);
});

await t.test('a file without keys is refused', async (t) => {
  for (const text of ['', 'hello', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----']) {
    t.throws(() => createTokenVerifier({ keys: text, issuer: 'i', service: 's' }), {
      code: 'CONFIG_INVALID',
    });
  }
});
