import t from 'tap';
import { admitCaller, type Caller } from '../../tracker/api/admit-caller.ts';
import { parseApiKeys } from '../../tracker/api/api-keys.ts';
import { CreationLimit } from '../../tracker/api/creation-limit.ts';

const KEYS = parseApiKeys(`
# Harbor
basic harbor:pass:word
bearer 0123456789abcdef
header X-Api-Key: custom value
`);
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const HERE = { host: '127.0.0.1:8401' };

const caller = (headers: Caller['headers'], more: Partial<Caller> = {}): Caller => ({
  ...{ method: 'POST', headers, remoteAddress: '10.0.0.7', isMember: false },
  ...more,
});
const status = (asked: Caller, keys = KEYS): number => {
  const admission = admitCaller(asked, keys);
  return admission.admitted ? 200 : admission.status;
};

t.test('case 71: none, basic, a token and a header of one own', async (t) => {
  t.equal(status(caller({})), 401, 'from elsewhere without anything');
  t.equal(status(caller({ authorization: basic('harbor:pass:word') })), 200);
  t.equal(status(caller({ authorization: basic('harbor:pass:word').replace('Basic', 'BASIC') })), 200);
  t.equal(status(caller({ authorization: 'Bearer 0123456789abcdef' })), 200);
  t.equal(status(caller({ 'x-api-key': 'custom value' })), 200);
  t.equal(status(caller({ authorization: 'Bearer 0123456789abcdee' })), 401);
  t.equal(status(caller({ authorization: basic('harbor:pass') })), 401);
  t.equal(status(caller({ 'x-api-key': 'other' })), 401);
  t.equal(status(caller({ authorization: '0123456789abcdef' })), 401, 'a token without its scheme');
  t.equal(status(caller({}, { isMember: true })), 200, 'members have shown who they are');
});

t.test('this machine needs no key, unless it shows a wrong one, or is not the one that asks', async (t) => {
  const local = { remoteAddress: '127.0.0.1' };
  t.equal(status(caller(HERE, local)), 200);
  t.equal(status(caller({ host: 'localhost' }, { remoteAddress: '::1' })), 200);
  t.equal(status(caller(HERE, { remoteAddress: '::ffff:127.0.0.1' })), 200);
  t.equal(status(caller({ ...HERE, authorization: 'Bearer forged' }, local)), 401);
  t.equal(status(caller({ ...HERE, 'x-api-key': 'forged' }, local)), 401);
  t.equal(status(caller({ ...HERE, authorization: 'Bearer forged' }, local), []), 401, 'without a key file');
  t.equal(status(caller({ ...HERE, 'x-forwarded-for': '10.1.1.1' }, local)), 401, 'a reverse proxy');
  t.equal(status(caller({ ...HERE, forwarded: 'for=10.1.1.1' }, local)), 401);
  t.equal(status(caller({ ...HERE, 'x-real-ip': '10.1.1.1' }, local)), 401);
  t.equal(status(caller({ host: 'evil.test:8401' }, local)), 401, 'a name that was made to lead here');
  t.equal(status(caller({ host: 'evil.test:8401' }, { ...local, method: 'GET' })), 401);
});

t.test('no page of another site changes anything', async (t) => {
  const local = { remoteAddress: '127.0.0.1' };
  const key = { authorization: 'Bearer 0123456789abcdef' };
  for (const headers of [
    { origin: 'https://evil.test' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:9' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    t.equal(status(caller({ ...HERE, ...headers }, local)), 403, JSON.stringify(headers));
    t.equal(status(caller({ ...HERE, ...key, ...headers })), 403, 'not with a key either');
  }
  t.equal(status(caller({ ...HERE, origin: 'http://127.0.0.1:8401' }, local)), 200, 'our own page');
});

t.test('a key file says which line is wrong, and never what it says', async (t) => {
  for (const line of ['token abc', 'bearer', 'basic nocolon', 'header X-Key', 'bearer two words']) {
    try {
      parseApiKeys(`bearer fine\n${line}\n`);
      t.fail(line);
    } catch (error) {
      t.match(error, { code: 'CONFIG_INVALID', message: /^line 2 is no key/ });
      t.notMatch((error as Error).message, /nocolon|two words/);
    }
  }
});

t.test('sixty jobs at once, then two a second', async (t) => {
  const limit = new CreationLimit();
  for (let made = 0; made < 60; made++) t.equal(limit.take(1000), 0);
  t.equal(limit.take(1000), 500);
  t.equal(limit.take(1500), 0);
  t.ok(limit.take(1500) > 0);
});
