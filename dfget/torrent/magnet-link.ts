/** A torrent as a link (BEP 9): clients ask each other for the rest. */
export function magnetLink(
  infoHash: string,
  { name, size }: { readonly name: string; readonly size: number },
  announce: readonly string[],
): string {
  const trackers = announce.map((url) => `&tr=${encodeURIComponent(url)}`).join('');
  return `magnet:?xt=urn:btih:${infoHash}&dn=${encodeURIComponent(name)}&xl=${size}${trackers}`;
}
