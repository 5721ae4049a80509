import { type AddressKind, addressKind, hostKind } from './address-kind.ts';

/**
 * Whether credentials for an upstream may go to the token service that its challenge names: the same host, or a host
 * of the same registrable domain (`registry.corp.com` and `auth.corp.com`), and never over plain http when the upstream
 * itself is https.
 */
export function mayReceiveCredentials(realm: URL, upstream: URL): boolean {
  if (upstream.protocol === 'https:' && realm.protocol !== 'https:') return false;
  if (realm.hostname === upstream.hostname) return true;
  if (isAddress(realm.hostname) || isAddress(upstream.hostname)) return false;
  const domain = registrableDomain(realm.hostname);
  return domain !== undefined && domain === registrableDomain(upstream.hostname);
}

/** Whether the host is an address, in whatever spelling, or this machine: no name that an allow-list could speak of. */
export function isOwnOrAddress(url: URL): boolean {
  return isAddress(url.hostname) || url.hostname.endsWith('.localhost');
}

/**
 * Whether nobody is to be connected to this address: link-local ones and metadata services always, since what answers
 * there is the machine's cloud, which hands out the machine's own credentials; this machine itself if `strict`.
 */
export function isForbiddenAddress(address: string, strict: boolean): boolean {
  return isForbiddenKind(addressKind(address), strict);
}

/** The same of the host in a URL; of a name that has to be resolved first, {@link isForbiddenAddress} decides. */
function isForbiddenHost(url: URL, strict: boolean): boolean {
  return isForbiddenKind(hostKind(url), strict);
}

function isForbiddenKind(kind: AddressKind | undefined, strict: boolean): boolean {
  return kind === 'loopback' ? strict : kind !== undefined && kind !== 'other';
}

/** Ports below 1024 belong to other services than registries and their storage: mail, databases, shells. */
export function isRegistryPort(port: number): boolean {
  return port === 80 || port === 443 || port >= 1024;
}

/** Whether a registry, by redirect or challenge, may send us there. @param mayBeOwn it is on this machine itself */
export function mayBeSentTo(url: URL, mayBeOwn: boolean): boolean {
  return !isForbiddenHost(url, !mayBeOwn) && (url.port === '' || isRegistryPort(Number(url.port)));
}

const ADDRESS = /^(?:\[.*\]|\d+\.\d+\.\d+\.\d+)$/;

function isAddress(hostname: string): boolean {
  return hostname === 'localhost' || ADDRESS.test(hostname);
}

/**
 * The part of a name that one owner registers, judged by its form: the last two labels, or three under a country's
 * second level (`corp.co.uk`). Coarser than the public suffix list, and so used only between a registry and the token
 * service it names itself.
 */
function registrableDomain(hostname: string): string | undefined {
  const labels = hostname.toLowerCase().replace(/\.$/, '').split('.');
  const top = labels.at(-1) ?? '';
  const second = labels.at(-2) ?? '';
  const parts = top.length === 2 && second.length <= 3 ? 3 : 2;
  return labels.length < parts ? undefined : labels.slice(-parts).join('.');
}
