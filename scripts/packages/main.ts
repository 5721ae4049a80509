import { mkdir, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.ts';
import { makeDeb } from './deb.ts';
import { IMAGE_ARCHITECTURE, makeImage } from './image/image.ts';
import { ROOT, readManifest } from './manifest.ts';
import { makeNpmPackage } from './npm-package.ts';
import { makeProgramTree, TARGETS } from './program-tree.ts';
import { makeSelfExtracting } from './self-extracting.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(ROOT, 'dist') },
    only: { type: 'string', multiple: true, default: ['npm', 'linux-x64', 'deb-amd64', 'image'] },
  },
});
/** Debian's names of the machines. */
const DEBIAN = { 'linux-x64': 'amd64', 'linux-arm64': 'arm64' } as const;
const IMAGE = { 'linux-x64': 'image', 'linux-arm64': 'image-arm64' } as const;
const kinds: readonly string[] = [
  ...['npm', ...TARGETS, ...Object.values(IMAGE)],
  ...Object.values(DEBIAN).map((name) => `deb-${name}`),
];
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
  const architecture = DEBIAN[target];
  const deb = values.only.includes(`deb-${architecture}`);
  const image = values.only.includes(IMAGE[target]);
  if (!deb && !image && !values.only.includes(target)) continue;
  const tree = join(out, target);
  await rm(tree, { recursive: true, force: true });
  await makeProgramTree(bundled, tree, target, manifest);
  if (values.only.includes(target)) {
    const file = join(out, `damselfly-${manifest.version}-${target}`);
    await makeSelfExtracting(tree, file, manifest.version);
    say(file);
  }
  if (deb) {
    const file = join(out, `damselfly_${manifest.version}_${architecture}.deb`);
    const root = join(out, 'deb');
    await rm(root, { recursive: true, force: true });
    await makeDeb(tree, root, file, { architecture, manifest });
    await rm(root, { recursive: true, force: true });
    say(file);
  }
  if (image) {
    const file = join(out, `damselfly-${manifest.version}-image-${IMAGE_ARCHITECTURE[target]}.tar`);
    await makeImage(tree, file, { manifest, target });
    say(file);
  }
  await rm(tree, { recursive: true, force: true });
}
