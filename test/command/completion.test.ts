import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { skipReason } from '../helpers/clients/client.ts';

const BIN = join(import.meta.dirname, '..', '..', 'bin');
const folder = mkdtempSync(join(tmpdir(), 'damselfly-completion-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** What is typed, with the last word begun, and some of what the shell then offers. */
const CASES: readonly (readonly [
  typed: readonly string[],
  offered: readonly string[],
  not: readonly string[],
])[] = [
  [['dfget', ''], ['daemon', 'pull', 'cache', 'completion'], ['ls']],
  [['dfget', 'cac'], ['cache'], ['pull']],
  [['dfget', 'cache', ''], ['ls', 'export', 'import'], ['pull']],
  [
    ['dfget', 'cache', 'export', '--'],
    ['--output', '--all-platforms', '--socket'],
    ['--undo', '--alivetime'],
  ],
  [['dfget', 'setup', ''], ['containerd', 'docker', 'podman'], []],
  [['dfget', 'completion', 'b'], ['bash'], ['zsh']],
  [['damselfly', ''], ['up', 'tracker', 'supernode', 'ca'], ['pull']],
  [['damselfly', 'ca', ''], ['init', 'revoke'], []],
];

const scripts = new Map<string, string>();
const script = (program: string, shell: string): string => scripts.get(`${program} ${shell}`) ?? '';

t.before(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    for (const program of ['dfget', 'damselfly']) {
      const { code, output, stdout } = await run(join(BIN, program), ['completion', shell]);
      if (code !== 0) throw new Error(output);
      const file = join(folder, `${program}.${shell}`);
      writeFileSync(file, stdout);
      scripts.set(`${program} ${shell}`, file);
    }
  }
});

t.test('bash', async (t) => {
  for (const [typed, offered, not] of CASES) {
    const [program = ''] = typed;
    const text = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _${program}; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { code, output, stdout } = await run('bash', ['-c', text, script(program, 'bash'), ...typed]);
    t.equal(code, 0, output);
    const words = stdout.trim().split('\n');
    for (const word of offered) t.ok(words.includes(word), `${typed.join(' ')}: ${word}`);
    for (const word of not) t.notOk(words.includes(word), `${typed.join(' ')}: not ${word}`);
  }
});

t.test('a value that is wanted is left to file names', async (t) => {
  const text =
    'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dfget; echo "${#COMPREPLY[@]}"; complete -p dfget';
  const { stdout } = await run('bash', [
    ...['-c', text, script('dfget', 'bash')],
    ...['dfget', 'pull', '-o', ''],
  ]);
  t.equal(stdout, '0\ncomplete -o default -F _dfget dfget\n');
});

t.test('fish', { skip: skipReason({ programs: ['fish'] }) }, async (t) => {
  for (const [typed, offered, not] of CASES) {
    const [program = ''] = typed;
    const text = `source $argv[1]; complete --do-complete '${typed.join(' ')}'`;
    const { code, output, stdout } = await run('fish', ['--no-config', '-c', text, script(program, 'fish')]);
    t.equal(code, 0, output);
    const words = stdout.split('\n').map((line) => line.split('\t')[0]);
    for (const word of offered) t.ok(words.includes(word), `${typed.join(' ')}: ${word}`);
    for (const word of not) t.notOk(words.includes(word), `${typed.join(' ')}: not ${word}`);
  }
});

t.test('zsh', { skip: skipReason({ programs: ['zsh'] }) }, async (t) => {
  for (const [typed, offered, not] of CASES) {
    const [program = ''] = typed;
    // Outside of its line editor zsh completes nothing: what would be offered is printed instead.
    const text = `compdef() { :; }; _files() { :; }; _describe() { print -rl -- "\${(@P)2}"; }; source "$0"; words=("$@"); CURRENT=$#; _${program}`;
    const { code, output, stdout } = await run('zsh', ['-f', '-c', text, script(program, 'zsh'), ...typed]);
    t.equal(code, 0, output);
    const words = stdout.split('\n').map((line) => line.replace(/:.*/, ''));
    const begun = typed.at(-1) ?? '';
    for (const word of offered) t.ok(words.includes(word), `${typed.join(' ')}: ${word}`);
    for (const word of not.filter((each) => each.startsWith(begun))) {
      t.notOk(words.includes(word), `${typed.join(' ')}: not ${word}`);
    }
  }
});
