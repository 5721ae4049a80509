import { createHash } from 'node:crypto';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { run } from '../fixtures/child.ts';

/** Where a report was made. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

/** What was run. */
export interface CodeVersion {
  readonly commit: string;
  /** Whether the code that was run differs from that commit. */
  readonly changed: boolean;
  /** Another one for another commit or other changes to that code. */
  readonly key: string;
}

const ROOT = join(import.meta.dirname, '..', '..');
/** All that the simulator runs. */
const SIMULATED_CODE = ['lib', 'bench/simulate', 'package-lock.json'];

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
  };
}

/**
 * @param paths the code that the results depend on
 * @throws Error outside a git repository: without a commit nobody could repeat the figures
 */
export async function codeVersion(paths: readonly string[] = SIMULATED_CODE): Promise<CodeVersion> {
  const commit = (await git('rev-parse', 'HEAD')).trim();
  const changes = await git('diff', 'HEAD', '--', ...paths);
  const added = await git('ls-files', '--others', '--exclude-standard', '--', ...paths);
  const files = added.split('\n').filter((name) => name !== '');
  const hashes = files.length === 0 ? '' : await git('hash-object', '--', ...files);
  const changed = changes !== '' || files.length > 0;
  const digest = createHash('sha256').update(`${changes}\n${added}\n${hashes}`).digest('hex');
  return { commit, changed, key: changed ? `${commit}+${digest.slice(0, 16)}` : commit };
}

async function git(...args: readonly string[]): Promise<string> {
  const { code, stdout, output } = await run('git', ['-C', ROOT, ...args]);
  if (code !== 0) throw new Error(`git ${args[0]}: ${output.trim()}`);
  return stdout;
}
