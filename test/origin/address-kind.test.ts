import t from 'tap';
import { addressKind, hostKind } from '../../lib/origin/address-kind.ts';

const KINDS = {
  loopback: [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '0.1.2.3',
    '::1',
    '::',
    '[::1]',
    '::ffff:127.0.0.1',
    '::127.0.0.1',
  ],
  'link-local': [
    '169.254.1.1',
    'fe80::1',
    'fe80::1%eth0',
    'febf::',
    '::ffff:a9fe:101',
    '64:ff9b::169.254.1.1',
  ],
  metadata: ['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd20:ce::254'],
  unroutable: ['224.0.0.1', '239.1.1.1', '255.255.255.255', 'ff02::1', '::ffff:255.255.255.255'],
  other: ['10.0.0.1', '192.168.1.1', '8.8.8.8', '2001:db8::1', 'fd00::1', '170.254.1.1', '1:2:3:4:5:6:7:8'],
} as const;

for (const [kind, addresses] of Object.entries(KINDS)) {
  t.test(`case 46: ${kind}`, async (t) => {
    for (const address of addresses) t.equal(addressKind(address), kind, address);
  });
}

t.test('case 46: an IPv4 address is what it is inside every IPv6 form that leads to it', async (t) => {
  for (const around of [
    (ipv4: string) => `::ffff:${ipv4}`,
    (ipv4: string) => `::ffff:0:${ipv4}`,
    (ipv4: string) => `::${ipv4}`,
    (ipv4: string) => `64:ff9b::${ipv4}`,
    (ipv4: string) => `64:ff9b:1::${ipv4}`,
    (ipv4: string) => `2002:${hex(ipv4)}::1`,
  ]) {
    t.equal(addressKind(around('127.0.0.1')), 'loopback', around('127.0.0.1'));
    t.equal(addressKind(around('169.254.169.254')), 'link-local', around('169.254.169.254'));
    t.equal(addressKind(around('100.100.100.200')), 'metadata', around('100.100.100.200'));
    t.equal(addressKind(around('10.0.0.1')), 'other', around('10.0.0.1'));
  }
});

t.test('case 46: names that say by themselves where they lead', async (t) => {
  const kind = (host: string) => hostKind(new URL(`http://${host}/`));
  for (const host of [
    'localhost',
    'LOCALHOST',
    'a.localhost',
    'localhost.',
    '2130706433',
    '0x7f.1',
    '017700000001',
  ]) {
    t.equal(kind(host), 'loopback', host);
  }
  t.equal(kind('2852039166'), 'link-local');
  t.equal(kind('metadata.google.internal'), 'metadata');
  for (const host of ['harbor.corp', 'localhost.corp', '127.0.0.1.nip.io']) {
    t.equal(kind(host), undefined, host);
  }
});

t.test('what is no address has no kind', async (t) => {
  for (const text of [
    '',
    'a',
    '1.2.3',
    '256.1.1.1',
    ':::',
    '1::2::3',
    '12345::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
  ]) {
    t.equal(addressKind(text), undefined, text);
  }
});

function hex(ipv4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
