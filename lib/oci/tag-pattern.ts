/**
 * Whether a tag fits a pattern: `*` stands for any characters, `?` for one, everything else for itself. Takes time in
 * proportion to the product of both lengths at most, whatever the pattern.
 */
export function fitsTagPattern(pattern: string, tag: string): boolean {
  let at = 0;
  let inTag = 0;
  /** Where to go on when what follows the last star does not fit: one character further in the tag. */
  let star = -1;
  let afterStar = 0;
  while (inTag < tag.length) {
    if (pattern[at] === '*') {
      star = at++;
      afterStar = inTag;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === tag[inTag])) {
      at++;
      inTag++;
    } else if (star >= 0) {
      at = star + 1;
      inTag = ++afterStar;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
