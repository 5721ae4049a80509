import { Argument, Command } from 'commander';
import { type CommandNode, commandTree, everyCommand, type Flag } from './command-tree.ts';

type Shell = 'bash' | 'zsh' | 'fish';

const SCRIPTS: Readonly<Record<Shell, (tree: CommandNode) => string>> = { bash, zsh, fish };

/**
 * `completion bash|zsh|fish`: prints a script that completes commands and flags, and file names where a value is wanted.
 * @param program gives the whole command line of the program
 */
export function completionCommand(name: string, program: () => Promise<Command>): Command {
  const examples = `
Examples:
  ${name} completion bash > /etc/bash_completion.d/${name}
  ${name} completion zsh > /usr/local/share/zsh/site-functions/_${name}
  ${name} completion fish > ~/.config/fish/completions/${name}.fish
`;
  return new Command('completion')
    .description('Print a script that lets a shell complete commands and flags.')
    .addArgument(new Argument('<shell>', 'whose').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', examples)
    .action(async (shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](commandTree(await program())));
    });
}

/** Where a command stands below the program, as the scripts write it: `/cache/ls`. */
function placeOf({ path }: CommandNode): string {
  return path
    .slice(1)
    .map((name) => `/${name}`)
    .join('');
}

/** `a|b|c` of all commands below the program, for a shell's case. */
function places(tree: CommandNode): readonly string[] {
  return [...everyCommand(tree)].map(placeOf).filter((place) => place !== '');
}

/** Of a command's flags the names of those with a value. */
function withValue({ flags }: CommandNode): readonly string[] {
  return flags.filter(({ takesValue }) => takesValue).flatMap(({ names }) => names);
}

function flagNames(flags: readonly Flag[]): readonly string[] {
  return flags.flatMap(({ names }) => names);
}

function bash(tree: CommandNode): string {
  const [name = ''] = tree.path;
  const nodes = [...everyCommand(tree)];
  const words = nodes.map((node) => {
    const { choices, commands, flags } = node;
    const list = [...commands.map(({ path }) => path.at(-1)), ...choices, ...flagNames(flags)];
    return `    '${placeOf(node)}') words='${list.join(' ')}' values=' ${withValue(node).join(' ')} ' ;;\n`;
  });
  return `# Completion of ${name} for bash: source it, or put it into /etc/bash_completion.d.
_${name}() {
  local at= words= values= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at/\${COMP_WORDS[i]}" in
    ${places(tree).join('|')}) at="$at/\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at" in
${words.join('')}  esac
  COMPREPLY=()
  case "$values" in
  *" \${COMP_WORDS[COMP_CWORD - 1]} "*) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _${name} ${name}
`;
}

function zsh(tree: CommandNode): string {
  const [name = ''] = tree.path;
  const cases = [...everyCommand(tree)].map((node) => {
    const entries = [
      ...node.commands.map(({ description, path }) => [path.at(-1) ?? '', description] as const),
      ...node.choices.map((word) => [word, ''] as const),
      ...node.flags.flatMap(({ meaning, names }) => names.map((each) => [each, meaning] as const)),
    ];
    const choices = entries.map(([word, meaning]) => `      ${quoted(`${word}:${oneLine(meaning)}`)}\n`);
    const values = withValue(node).map(quoted).join(' ');
    return `    ('${placeOf(node)}') values=(${values}); choices=(\n${choices.join('')}    ) ;;\n`;
  });
  return `#compdef ${name}
# Completion of ${name} for zsh: put it as _${name} into a folder of $fpath, or source it after compinit.
_${name}() {
  local at='' i
  local -a choices values
  for ((i = 2; i < CURRENT; i++)); do
    case "$at/\${words[i]}" in
    (${places(tree).join('|')}) at="$at/\${words[i]}" ;;
    esac
  done
  case "$at" in
${cases.join('')}  esac
  if (( \${values[(Ie)\${words[CURRENT-1]}]} )); then
    _files
  else
    _describe '${name}' choices || _files
  fi
}
if [ "$funcstack[1]" = "_${name}" ]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`;
}

function fish(tree: CommandNode): string {
  const [name = ''] = tree.path;
  const lines = [...everyCommand(tree)].flatMap((node) => {
    const here = `complete -c ${name} -n 'test "$(__${name}_at)" = "${placeOf(node)}"'`;
    const commands = node.commands.map(
      ({ description, path }) => `${here} -f -a ${path.at(-1)} -d ${quoted(oneLine(description))}`,
    );
    const flags = node.flags.map(({ meaning, names, takesValue }) => {
      const spelled = names.map((each) => (each.startsWith('--') ? `-l ${each.slice(2)}` : `-s ${each[1]}`));
      return `${here} ${spelled.join(' ')}${takesValue ? ' -r' : ''} -d ${quoted(oneLine(meaning))}`;
    });
    const choices = node.choices.map((word) => `${here} -f -a ${word}`);
    return [...commands, ...choices, ...flags];
  });
  return `# Completion of ${name} for fish: put it into ~/.config/fish/completions.
function __${name}_at
  set -l at ''
  for word in (commandline -opc)[2..]
    switch "$at/$word"
      case ${places(tree).join(' ')}
        set at "$at/$word"
    end
  end
  echo $at
end
${lines.join('\n')}
`;
}

/** In single quotes, for all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '').replaceAll("'", '’')}'`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}
