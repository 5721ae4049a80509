import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nativeVersions } from './bundle.ts';
import { type Manifest, ROOT } from './manifest.ts';

/** What goes along besides the program. */
const ALSO = ['LICENSE', 'README.md', 'CHANGELOG.md', 'examples'];

/**
 * The package as npm installs it: the bundle, launchers that any Node from 18 on can run, and as dependencies only what
 * has compiled code. @returns path of the tarball
 */
export async function makeNpmPackage(bundled: string, folder: string, manifest: Manifest): Promise<string> {
  const { description, license, name, optionalDependencies, version } = manifest;
  const into = join(folder, 'npm');
  await mkdir(join(into, 'bin'), { recursive: true });
  await cp(bundled, join(into, 'lib'), { recursive: true });
  for (const each of ALSO) await cp(join(ROOT, each), join(into, each), { recursive: true });
  await cp(join(ROOT, 'scripts', 'packages', 'launcher.cjs'), join(into, 'bin', 'launcher.cjs'));
  for (const command of ['damselfly', 'dfget']) {
    const path = join(into, 'bin', `${command}.cjs`);
    await writeFile(path, `#!/usr/bin/env node\nrequire('./launcher.cjs').launch('${command}');\n`);
    await chmod(path, 0o755);
  }
  const published = {
    ...{ name, version, description, license },
    engines: { node: '>=18' },
    bin: { damselfly: 'bin/damselfly.cjs', dfget: 'bin/dfget.cjs' },
    dependencies: await nativeVersions(),
    optionalDependencies,
  };
  await writeFile(join(into, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
    cwd: into,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return join(folder, packed.trim().split('\n').at(-1) ?? '');
}
