import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/**
 * One file that runs on a machine without Node: a shell script with the program behind it. It unpacks itself once, into
 * a folder named after what it holds, and is `dfget` when it is called so, or by `damselfly dfget …`.
 */
export async function makeSelfExtracting(tree: string, file: string, version: string): Promise<void> {
  const archive = `${file}.tar.gz`;
  const options = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
  execFileSync('tar', [...options, '-C', tree, '-czf', archive, '.']);
  try {
    const hash = createHash('sha256');
    await pipeline(createReadStream(archive), hash);
    await writeFile(file, script(`${version}-${hash.digest('hex').slice(0, 16)}`));
    await appendFile(file, await readFile(archive));
    await chmod(file, 0o755);
  } finally {
    await rm(archive, { force: true });
  }
}

function script(name: string): string {
  const text = `#!/bin/sh
# Damselfly ${name} with all that it needs. The program itself follows the last line of this script.
set -eu
if [ -n "\${DAMSELFLY_PROGRAM_DIR:-}" ]; then parent=$DAMSELFLY_PROGRAM_DIR
elif [ "$(id -u)" = 0 ]; then parent=/var/lib/damselfly/program
else parent=\${XDG_CACHE_HOME:-$HOME/.cache}/damselfly/program; fi
program=$parent/${name}
if [ ! -x "$program/node" ]; then
  (umask 022; mkdir -p "$parent")
  new=$(mktemp -d "$parent/.new.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  tail -n +LINES "$0" | tar -xzf - -C "$new"
  chmod 755 "$new"
  # Whoever is first wins; all unpack the same.
  mv "$new" "$program" 2>/dev/null || [ -x "$program/node" ]
  rm -rf "$new" "$program"/.new.*
  trap - EXIT
fi
case "\${0##*/}" in dfget*) command=dfget ;; *) command=damselfly ;; esac
if [ "$command" = damselfly ] && [ "\${1:-}" = dfget ]; then command=dfget; shift; fi
# Memory for pieces goes back to the system when it is given back: by itself glibc keeps what it has once taken.
export MALLOC_MMAP_THRESHOLD_="\${MALLOC_MMAP_THRESHOLD_:-131072}"
early=
if [ $command = dfget ] && [ "\${1:-}" != daemon ]; then early=--max-semi-space-size=1; fi
exec "$program/node" $early --disable-warning=ExperimentalWarning "$program/lib/$command.mjs" "$@"
`;
  return text.replace('LINES', String(text.split('\n').length));
}
