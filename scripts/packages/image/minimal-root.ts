import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Target } from '../program-tree.ts';
import { fileOf, folder, type LayerEntry, textFile } from './layer.ts';

/** As distroless images number their ordinary user. */
export const IMAGE_USER = 65532;

/** What Node and the native packages are linked with. */
const LIBRARIES = [
  ...['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'librt.so.1'],
  ...['libgcc_s.so.1', 'libstdc++.so.6'],
];

interface Machine {
  /** Where Debian keeps libraries of that machine: its own, and those for building for another one. */
  readonly from: readonly string[];
  /** Where its loader looks for them. */
  readonly to: string;
  /** Path by which programs name the loader. */
  readonly loader: string;
  /** Debian packages to install where they are missing. */
  readonly packages: string;
}

const MACHINES: Readonly<Record<Target, Machine>> = {
  'linux-x64': {
    from: ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu'],
    to: 'lib/x86_64-linux-gnu',
    loader: 'lib64/ld-linux-x86-64.so.2',
    packages: 'libc6 libstdc++6',
  },
  'linux-arm64': {
    from: ['/lib/aarch64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/aarch64-linux-gnu/lib'],
    to: 'lib/aarch64-linux-gnu',
    loader: 'lib/ld-linux-aarch64.so.1',
    packages: 'libc6-arm64-cross libstdc++6-arm64-cross',
  },
};

/** Licences of what is copied. */
const COPYRIGHTS = ['/usr/share/doc/libc6/copyright', '/usr/share/doc/libstdc++6/copyright'];

/**
 * What there is below the program: the C library, names of users, an ordinary user's folders. No shell, and nothing
 * else to run.
 * @throws Error naming the packages that bring what this machine lacks
 */
export function minimalRoot(target: Target): LayerEntry[] {
  const { from, loader, packages, to } = MACHINES[target];
  const find = (name: string): string => {
    const found = from.map((each) => join(each, name)).find(existsSync);
    if (found === undefined) throw new Error(`no ${name} for ${target}: apt-get install ${packages}`);
    return found;
  };
  const loaderFolder = dirname(loader);
  return [
    ...['etc', 'lib', to].map((name) => folder(name)),
    ...(loaderFolder === 'lib' ? [] : [folder(loaderFolder)]),
    ...['proc', 'sys', 'dev', 'run', 'var', 'var/lib', 'usr', 'usr/bin', 'usr/lib'].map((name) =>
      folder(name),
    ),
    folder('tmp', 0, 0o1777),
    ...['usr/share', 'usr/share/doc'].map((name) => folder(name)),
    textFile(
      'etc/passwd',
      `root:x:0:0:root:/:/nologin\ndamselfly:x:${IMAGE_USER}:${IMAGE_USER}::/var/lib/damselfly:/nologin\n`,
    ),
    textFile('etc/group', `root:x:0:\ndamselfly:x:${IMAGE_USER}:\n`),
    // Without it the C library asks DNS before /etc/hosts.
    textFile('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
    folder('etc/damselfly'),
    folder('run/damselfly', IMAGE_USER, 0o750),
    folder('var/lib/damselfly', IMAGE_USER, 0o700),
    ...COPYRIGHTS.filter(existsSync).flatMap((path) => [
      folder(dirname(path).slice(1)),
      fileOf(path.slice(1), path),
    ]),
    fileOf(loader, find(loader.split('/').at(-1) ?? ''), 0o755),
    ...LIBRARIES.map((name) => fileOf(`${to}/${name}`, find(name))),
  ];
}
