/**
 * What answers at an address, as far as it matters for whom we let others send us to. `metadata`: the machine's cloud,
 * which hands out the machine's own credentials; `unroutable`: multicast, broadcast, nobody in particular.
 */
export type AddressKind = 'loopback' | 'link-local' | 'metadata' | 'unroutable' | 'other';

/** Metadata services outside link-local addresses: Alibaba, Azure, Oracle; Amazon, Google by IPv6. */
const METADATA = ['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd20:ce::254'];

const METADATA_HOSTS = new Set(['metadata.google.internal', 'metadata.goog', 'instance-data.ec2.internal']);

/** The kind of an IPv4 or IPv6 address, with or without brackets and zone; undefined for anything else. */
export function addressKind(text: string): AddressKind | undefined {
  const bare = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  const bytes = bare.includes(':') ? ipv6Bytes(bare) : ipv4Bytes(bare);
  return bytes === undefined ? undefined : kindOf(bytes);
}

/** The kind of the host in a URL: of its address, or what its name says by itself. Any other name: undefined. */
export function hostKind({ hostname }: Pick<URL, 'hostname'>): AddressKind | undefined {
  const name = hostname.toLowerCase().replace(/\.$/, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return 'loopback';
  return METADATA_HOSTS.has(name) ? 'metadata' : addressKind(name);
}

function kindOf(bytes: readonly number[]): AddressKind {
  if (METADATA_BYTES.some((each) => each.join() === bytes.join())) return 'metadata';
  if (bytes.length === 4) return ipv4Kind(bytes);
  const inner = embeddedIpv4(bytes);
  if (inner !== undefined) return kindOf(inner);
  const [a = 0, b = 0] = bytes;
  // `::1`, and `::`, which connects to this machine too.
  if (bytes.slice(0, 15).every((byte) => byte === 0) && (bytes[15] ?? 0) <= 1) return 'loopback';
  if (a === 0xfe && (b & 0xc0) === 0x80) return 'link-local';
  return a === 0xff ? 'unroutable' : 'other';
}

function ipv4Kind([a = 0, b = 0]: readonly number[]): AddressKind {
  // 0/8 connects to this machine too.
  if (a === 127 || a === 0) return 'loopback';
  if (a === 169 && b === 254) return 'link-local';
  return a >= 224 ? (a < 240 || a === 255 ? 'unroutable' : 'other') : 'other';
}

/** First bytes of IPv6 addresses that lead to an IPv4 one, and where that one stands. */
const EMBEDDING: readonly { readonly prefix: readonly number[]; readonly at: number }[] = [
  // ::ffff:0:0/96, mapped (RFC 4291); ::ffff:0:0:0/96, translated (RFC 2765)
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], at: 12 },
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0], at: 12 },
  // 64:ff9b::/96 and 64:ff9b:1::/48, NAT64 (RFC 6052, RFC 8215; the second with its usual /96)
  { prefix: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], at: 12 },
  { prefix: [0, 0x64, 0xff, 0x9b, 0, 1], at: 12 },
  // 2002::/16, 6to4 (RFC 3056)
  { prefix: [0x20, 0x02], at: 2 },
];

function embeddedIpv4(bytes: readonly number[]): readonly number[] | undefined {
  const found = EMBEDDING.find(({ prefix }) => prefix.every((byte, index) => bytes[index] === byte));
  if (found !== undefined) return bytes.slice(found.at, found.at + 4);
  // ::a.b.c.d, compatible (RFC 4291, deprecated); `::` and `::1` are none.
  const compatible = bytes.slice(0, 12).every((byte) => byte === 0);
  return compatible && bytes.slice(12, 14).some((byte) => byte !== 0) ? bytes.slice(12) : undefined;
}

function ipv4Bytes(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.map(Number);
}

function ipv6Bytes(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupBytes);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  return missing < 1 ? undefined : [...head, ...Array.from({ length: missing }, () => 0), ...(tail ?? [])];
}

/** The bytes of groups between colons; the last may be an IPv4 address. */
function groupBytes(text: string): number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const ipv4 = index === groups.length - 1 && group.includes('.') ? ipv4Bytes(group) : undefined;
    if (ipv4 !== undefined) bytes.push(...ipv4);
    else if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    else bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
  }
  return bytes;
}

const METADATA_BYTES = METADATA.map((text) => (text.includes(':') ? ipv6Bytes(text) : ipv4Bytes(text)) ?? []);
