/**
 * The words of a command line, with `get` before those of `dfget URL`, a torrent, a magnet link, and of Dragonfly's
 * `dfget -u URL`, which name no command.
 * @param commands names of those that there are
 */
export function withGet(words: readonly string[], commands: readonly string[]): readonly string[] {
  const [first] = words;
  if (first === undefined || first === 'help' || commands.includes(first)) return words;
  const isFile = words.some((word) =>
    /^(?:-u|--url(?:=.*)?|(?:-u|--url=)?https?:\/\/.*|magnet:\?.*|.+\.torrent)$/i.test(word),
  );
  return isFile ? ['get', ...words] : words;
}
