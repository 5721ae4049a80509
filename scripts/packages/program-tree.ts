import { execFileSync, type StdioOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyNative } from './bundle.ts';
import { type Manifest, ROOT } from './manifest.ts';

const NO_CHATTER: StdioOptions = ['ignore', 'pipe', 'ignore'];

/** Kinds of machines, as Node names them. */
export const TARGETS = ['linux-x64', 'linux-arm64'] as const;
export type Target = (typeof TARGETS)[number];

/** Everything that runs on a machine without Node: `node`, `lib/` and the native packages, in `folder`. */
export async function makeProgramTree(
  bundled: string,
  folder: string,
  target: Target,
  manifest: Manifest,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(bundled, join(folder, 'lib'), { recursive: true });
  await copyNative(folder, target);
  await cp(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
  await copyNode(join(folder, 'node'), target, manifest);
}

/** The Node of the package for that kind of machine: npm installs only the one of this machine, the other is fetched. */
async function copyNode(to: string, target: Target, { optionalDependencies }: Manifest): Promise<void> {
  const name = `node-${target}`;
  const installed = join(ROOT, 'node_modules', name, 'bin', 'node');
  if (existsSync(installed)) {
    await cp(installed, to, { dereference: true });
  } else {
    const folder = await mkdtemp(join(tmpdir(), 'damselfly-node-'));
    try {
      const version = optionalDependencies[name] ?? '';
      const options = { cwd: folder, encoding: 'utf8' as const, stdio: NO_CHATTER };
      const packed = execFileSync('npm', ['pack', `${name}@${version}`], options);
      execFileSync('tar', ['-xzf', packed.trim().split('\n').at(-1) ?? '', 'package/bin/node'], {
        cwd: folder,
      });
      await cp(join(folder, 'package', 'bin', 'node'), to);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  await chmod(to, 0o755);
}
