import { BlockList, isIP } from 'node:net';

/** Networks of addresses. */
export interface Networks {
  includes(address: string): boolean;
}

/** `10.0.0.0/8,fd00::/8`, a single address too; undefined when it is none. */
export function parseNetworks(text: string): Networks | undefined {
  const list = new BlockList();
  for (const part of text.split(',')) {
    const [address = '', prefix] = part.trim().split('/');
    const version = isIP(address);
    const most = version === 6 ? 128 : 32;
    const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : most + 1;
    if (version === 0 || bits > most) return undefined;
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
  }
  return {
    includes: (address) => {
      const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
      const version = isIP(plain);
      return version !== 0 && list.check(plain, version === 6 ? 'ipv6' : 'ipv4');
    },
  };
}
