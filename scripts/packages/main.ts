import { mkdir, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.ts';
import { ROOT, readManifest } from './manifest.ts';
import { makeNpmPackage } from './npm-package.ts';
import { makeProgramTree, TARGETS } from './program-tree.ts';
import { makeSelfExtracting } from './self-extracting.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(ROOT, 'dist') },
    only: { type: 'string', multiple: true, default: ['npm', 'linux-x64'] },
  },
});
const kinds: readonly string[] = ['npm', ...TARGETS];
const unknown = values.only.find((kind) => !kinds.includes(kind));
if (unknown !== undefined) {
  process.stderr.write(`--only: got ${unknown}; it may be ${kinds.join(', ')}\n`);
  process.exit(2);
}
const out = resolve(values.out);
const manifest = readManifest();
const bundled = join(out, 'bundle');
const say = (path: string): void => void process.stdout.write(`${relative(process.cwd(), path)}\n`);
await rm(bundled, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await bundle(bundled);
if (values.only.includes('npm')) {
  await rm(join(out, 'npm'), { recursive: true, force: true });
  say(await makeNpmPackage(bundled, out, manifest));
}
for (const target of TARGETS) {
  if (!values.only.includes(target)) continue;
  const tree = join(out, target);
  await rm(tree, { recursive: true, force: true });
  await makeProgramTree(bundled, tree, target, manifest);
  const file = join(out, `damselfly-${manifest.version}-${target}`);
  await makeSelfExtracting(tree, file, manifest.version);
  await rm(tree, { recursive: true, force: true });
  say(file);
}
