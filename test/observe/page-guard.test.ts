import t from 'tap';
import { type PageGuard, pageRefusal } from '../../lib/observe/page-guard.ts';

const mirror: PageGuard = { names: (name) => name === 'harbor.corp', ownPages: false };
const admin: PageGuard = { names: () => false, ownPages: true };
const anywhere: PageGuard = { names: 'any', ownPages: true };

t.test('programs are answered by address, localhost and the names that are ours', async (t) => {
  for (const host of [
    '127.0.0.1:65001',
    '127.0.0.1',
    '[::1]:65001',
    'localhost:65001',
    'LOCALHOST',
    '10.0.0.5:1',
    undefined,
  ]) {
    t.equal(pageRefusal({ host }, mirror), undefined, String(host));
  }
  t.equal(pageRefusal({ host: 'Harbor.corp:65001' }, mirror), undefined);
  t.equal(
    pageRefusal({ host: 'mirror.corp' }, anywhere),
    undefined,
    'who listens beyond this machine knows no names',
  );
});

t.test('case 46: a name that was made to lead here is refused', async (t) => {
  for (const host of [
    'evil.com',
    'evil.com:65001',
    '127.0.0.1.evil.com',
    'localhost.evil.com',
    'harbor.corp.evil.com',
    '[evil',
  ]) {
    t.match(pageRefusal({ host }, mirror), /no name of this port/, host);
    t.match(pageRefusal({ host }, admin), /no name of this port/, host);
  }
});

t.test('web pages from elsewhere are refused, whatever they say of themselves', async (t) => {
  const host = '127.0.0.1:65003';
  for (const origin of ['https://evil.com', 'null', '', `https://evil.com/${host}`, 'http://127.0.0.1:1']) {
    t.match(pageRefusal({ host, origin }, admin), /web pages/, origin);
    t.match(pageRefusal({ host, origin }, mirror), /web pages/, origin);
  }
  for (const site of ['cross-site', 'same-site']) {
    t.match(pageRefusal({ host, 'sec-fetch-site': site }, admin), /web pages/, site);
  }
});

t.test('own pages may ask where there are any', async (t) => {
  const host = '127.0.0.1:65003';
  const own = { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' };
  t.equal(pageRefusal(own, admin), undefined);
  t.equal(pageRefusal({ host, 'sec-fetch-site': 'same-origin' }, admin), undefined);
  t.equal(pageRefusal({ host, 'sec-fetch-site': 'none' }, mirror), undefined, 'somebody typed the address');
  t.match(pageRefusal(own, mirror), /web pages/, 'what a registry holds is no page of ours');
  t.match(pageRefusal({ host, 'sec-fetch-site': 'same-origin' }, mirror), /web pages/);
});
