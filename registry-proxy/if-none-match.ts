/** If-None-Match against our entity tag (RFC 9110 section 13.1.2: a weak comparison). */
export function isMatch(header: string | undefined, etag: string): boolean {
  const tags = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes(etag) || tags.includes('*');
}
