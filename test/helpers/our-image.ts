import { join } from 'node:path';
import { run } from '../../bench/fixtures/child.ts';
import { readManifest } from '../../scripts/packages/manifest.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'scripts', 'packages', 'main.ts');

/** Flags for `podman run`: what a hardened pod has. Limits, because some machines let nobody raise them. */
export const LEAST_RIGHTS: readonly string[] = [
  ...['--read-only', '--read-only-tmpfs=false', '--tmpfs', '/tmp', '--cap-drop', 'all'],
  ...['--security-opt', 'no-new-privileges', '--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'],
];

/** The container image of this checkout, as `npm run dist` makes it. @returns the archive, and its name once loaded */
export async function buildImage(folder: string): Promise<{ readonly file: string; readonly name: string }> {
  const { code, output, stdout } = await run(process.execPath, [MAIN, '--out', folder, '--only', 'image']);
  if (code !== 0) throw new Error(`no image: ${output}`);
  return { file: join(process.cwd(), stdout.trim()), name: `localhost/damselfly:${readManifest().version}` };
}
