import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build, type Plugin } from 'esbuild';

import { loadScript, SCRIPTS } from '../../tracker/live/page-files.ts';
import { ROOT } from './manifest.ts';

/** Packages with compiled code: they cannot be in the bundle. */
const NATIVE = ['classic-level'];
/** Optional speed-ups that we do not bring, and what their users do without them. */
const LEFT_OUT = ['bufferutil', 'utf-8-validate', 'utp-native', 'pino-pretty', 'fs-native-extensions'];

/** Our sources load a few packages late, by a `require` of their own, which the bundler cannot see through. */
const lateRequires: Plugin = {
  name: 'late-requires',
  setup(build) {
    build.onLoad(
      { filter: /\/(lib|dfget|damselfly|supernode|tracker|registry-proxy)\/.*\.ts$/ },
      async ({ path }) => {
        if (path.includes('/node_modules/')) return undefined;
        const text = await readFile(path, 'utf8');
        const contents = text
          .replace(/^const require = createRequire\(import\.meta\.url\);$/m, '')
          .replace(/createRequire\(import\.meta\.url\)\(/g, 'require(');
        return { contents, loader: 'ts' };
      },
    );
  },
};

/**
 * Bundles both commands with everything but {@link NATIVE} into `folder`: `damselfly.mjs`, `dfget.mjs` and what they
 * share or load late.
 */
export async function bundle(folder: string): Promise<void> {
  await build({
    absWorkingDir: ROOT,
    entryPoints: {
      damselfly: 'damselfly/main.js',
      dfget: 'dfget/main.js',
      'seed-worker': 'dfget/torrent/seed-worker.ts',
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'part-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // A package that is loaded late must be one of modules: of others the bundler gives the default export alone.
    mainFields: ['module', 'main'],
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: true,
    legalComments: 'none',
    logLevel: 'warning',
    external: [...NATIVE, ...LEFT_OUT],
    alias: { 'webrtc-polyfill': join(ROOT, 'stubs', 'webrtc-polyfill', 'index.js') },
    // CommonJS packages in the bundle ask for Node's own modules.
    banner: {
      js: "import{createRequire as damselflyRequire}from'node:module';import{fileURLToPath as damselflyPath}from'node:url';import{dirname as damselflyDirname}from'node:path';const require=damselflyRequire(import.meta.url),__filename=damselflyPath(import.meta.url),__dirname=damselflyDirname(__filename);",
    },
    plugins: [lateRequires],
  });
  await writePage(join(folder, 'page'));
}

/** The modules of the live page, as browsers take them: the tracker serves them as they are. */
async function writePage(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of SCRIPTS) await writeFile(join(folder, `${name}.mjs`), await loadScript(name));
}

/** Native packages with the versions that we were tested with. */
export async function nativeVersions(): Promise<Record<string, string>> {
  const versions: Record<string, string> = {};
  for (const name of NATIVE) {
    const { version } = JSON.parse(await readFile(join(folderOf(name), 'package.json'), 'utf8')) as {
      version: string;
    };
    versions[name] = version;
  }
  return versions;
}

/** Copies native packages, and what they need, into `folder/node_modules`; of their compiled files those for `target`. */
export async function copyNative(folder: string, target: string): Promise<void> {
  const pending = [...NATIVE];
  const done = new Set<string>();
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (done.has(name)) continue;
    done.add(name);
    const from = folderOf(name);
    const { dependencies = {} } = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    pending.push(...Object.keys(dependencies));
    await cp(from, join(folder, 'node_modules', name), {
      recursive: true,
      dereference: true,
      filter: (path) => {
        const inside = path.slice(from.length);
        if (/^\/(deps|node_modules|src|\.github)\b/.test(inside)) return false;
        return (
          !/^\/prebuilds\/./.test(inside) ||
          (inside.startsWith(`/prebuilds/${target}`) && !inside.includes('musl'))
        );
      },
    });
  }
}

function folderOf(name: string): string {
  return dirname(createRequire(join(ROOT, 'package.json')).resolve(`${name}/package.json`));
}
