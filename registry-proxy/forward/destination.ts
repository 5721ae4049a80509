import { isIP } from 'node:net';
import { addressKind } from '../../lib/origin/address-kind.ts';
import { isForbiddenAddress, isRegistryPort } from '../../lib/origin/trust.ts';

/** Where a client wants to be connected to. */
export interface Destination {
  /** A name, or an address without brackets; lower case. */
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port` of a CONNECT request. */
export function parseAuthority(text: string): Destination | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port === 0 || port > 65_535) return undefined;
  // Numbers that only some resolvers take for an address (0x7f.1, 2130706433) become the address that they mean.
  const url = URL.parse(`http://${match[1] === undefined ? match[2] : `[${match[1]}]`}/`);
  return url === null ? undefined : { host: bare(url.hostname), port };
}

/** The registry name that clients write for it: without the scheme's own port. */
export function registryName({ host, port }: Destination, schemePort: number): string {
  const shown = isIP(host) === 6 ? `[${host}]` : host;
  return port === schemePort ? shown : `${shown}:${port}`;
}

/**
 * Why nobody is connected there through us, or undefined. Ports of other services are none of a registry's; what answers
 * at link-local addresses is the machine's cloud, with the machine's own credentials; and this machine's own services are
 * for clients on this machine.
 */
export function refusalOf({ host, port }: Destination, clientIsLocal: boolean): string | undefined {
  if (!isRegistryPort(port)) return `port ${port} is not one of a registry`;
  return isIP(host) === 0 ? undefined : refusalOfAddress(host, clientIsLocal);
}

/** Whether an address, of a client or a destination, is this machine's own. */
export function isLoopback(address: string): boolean {
  return addressKind(address) === 'loopback';
}

function refusalOfAddress(address: string, clientIsLocal: boolean): string | undefined {
  if (isForbiddenAddress(address, false)) {
    return 'link-local addresses, metadata services and multicast are not connected to';
  }
  return isForbiddenAddress(address, !clientIsLocal)
    ? 'this machine is connected to from itself only'
    : undefined;
}

function bare(hostname: string): string {
  return hostname.toLowerCase().replace(/^\[|\]$/g, '');
}
