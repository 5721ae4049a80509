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

/** Whether a name that leads to this address is to be refused: link-local always, this machine itself if `strict`. */
export function isForbiddenAddress(address: string, strict: boolean): boolean {
  const host = new URL(`http://${address.includes(':') ? `[${address.replace(/%.*$/, '')}]` : address}`);
  return isLinkLocal(host) || (strict && LOOPBACK.test(host.hostname));
}

/**
 * Link-local addresses: what answers there is the machine's cloud, which hands out the machine's own credentials. No
 * registry may send us there by redirect or challenge.
 */
export function isLinkLocal(url: URL): boolean {
  return LINK_LOCAL.test(url.hostname);
}

/** In the one spelling that URL gives every address: 169.254/16, the same inside IPv6, fe80::/10, and the cloud's fd00:ec2::254. */
const LINK_LOCAL = /^(?:169\.254\.\d+\.\d+|\[(?:::ffff:a9fe:.*|fe[89ab][0-9a-f]:.*|fd00:ec2::254)\])$/;
/** 127/8 and 0/8, ::1 and ::, and the first two inside IPv6. */
const LOOPBACK = /^(?:(?:127|0)\.\d+\.\d+\.\d+|\[(?:::1?|::ffff:(?:7f[0-9a-f]{2}|0|[0-9a-f]{1,2}):.*)\])$/;
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
