import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SETUP_CLIENTS } from '../../dfget/setup/clients.ts';
import { type Manifest, ROOT } from './manifest.ts';

/** Units that go along, if there are any. */
const UNITS = join(ROOT, 'deploy', 'systemd');

/** The units run as this user. Nothing is started: settings come first. */
const POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ] && ! getent passwd damselfly > /dev/null; then
  useradd --system --home-dir /var/lib/damselfly --shell /usr/sbin/nologin damselfly
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;
/** Memory for pieces goes back to the system when it is given back: by itself glibc keeps what it has once taken. */
const MEMORY = 'export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-131072}"\n';
/** Afterwards nobody could take the mirror out of the clients' files any more. */
const PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ]; then
  if [ -d /var/lib/damselfly/setup ]; then
    for client in ${SETUP_CLIENTS.map(({ name }) => name).join(' ')}; do dfget setup $client --undo || true; done
  fi
  if [ -d /run/systemd/system ]; then
    systemctl disable --now dfget-daemon.service dfget-daemon.socket damselfly-supernode.service damselfly-tracker.service || true
  fi
fi
`;

/**
 * A Debian package of a program tree: /usr/lib/damselfly, the commands in /usr/bin, systemd's units.
 * @param architecture as Debian names it
 */
export async function makeDeb(
  tree: string,
  folder: string,
  file: string,
  { architecture, manifest }: { readonly architecture: string; readonly manifest: Manifest },
): Promise<void> {
  const program = join(folder, 'usr/lib/damselfly');
  await mkdir(join(folder, 'usr/bin'), { recursive: true });
  await mkdir(join(folder, 'DEBIAN'), { recursive: true });
  await cp(tree, program, { recursive: true });
  for (const [command, early] of [
    ['damselfly', ''],
    ['dfget', '[ "$1" = daemon ] || early=--max-semi-space-size=1\n'],
  ] as const) {
    const run = `exec /usr/lib/damselfly/node $early --disable-warning=ExperimentalWarning /usr/lib/damselfly/lib/${command}.mjs "$@"`;
    await script(join(folder, 'usr/bin', command), `#!/bin/sh\n${MEMORY}early=\n${early}${run}\n`);
  }
  if (existsSync(UNITS)) await cp(UNITS, join(folder, 'usr/lib/systemd/system'), { recursive: true });
  await mkdir(join(folder, 'usr/share/doc/damselfly'), { recursive: true });
  await cp(join(ROOT, 'LICENSE'), join(folder, 'usr/share/doc/damselfly/copyright'));
  await cp(join(ROOT, 'examples'), join(folder, 'usr/share/doc/damselfly/examples'), { recursive: true });
  const control = [
    `Package: ${manifest.name}`,
    `Version: ${manifest.version}`,
    `Architecture: ${architecture}`,
    'Maintainer: Damselfly developers',
    'Depends: libc6 (>= 2.28), libstdc++6, passwd',
    'Section: net',
    'Priority: optional',
    `Description: ${manifest.description}`,
  ];
  await writeFile(join(folder, 'DEBIAN/control'), `${control.join('\n')}\n`);
  await script(join(folder, 'DEBIAN/postinst'), POSTINST);
  await script(join(folder, 'DEBIAN/prerm'), PRERM);
  for (const each of await readdir(folder)) await chmod(join(folder, each), 0o755);
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', folder, file], { stdio: 'ignore' });
}

async function script(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}
