import t from 'tap';
import { damselflyCli } from '../../damselfly/cli.ts';
import { dfgetCli } from '../../dfget/cli.ts';
import { withGet } from '../../dfget/with-get.ts';
import { type CommandNode, commandTree, everyCommand } from '../../lib/command/command-tree.ts';
import { helpText } from '../../scripts/command-line-docs.ts';

const programs = [commandTree(await dfgetCli(undefined)), commandTree(damselflyCli())];
const commands = programs
  .flatMap((program) => [...everyCommand(program)])
  .filter((node) => node.commands.length === 0);

/** The command that an example runs, and what it is given; undefined when there is no such command. */
function commandOf(words: readonly string[]): { node: CommandNode; rest: readonly string[] } | undefined {
  const [name, ...typed] = words;
  let node = programs.find(({ path }) => path[0] === name);
  if (node === undefined) return undefined;
  let rest: readonly string[] = typed;
  if (name === 'dfget') {
    rest = withGet(
      typed,
      node.commands.map(({ path }) => path.at(-1) ?? ''),
    );
  }
  while (node.commands.length > 0) {
    const next: CommandNode | undefined = node.commands.find(({ path }) => path.at(-1) === rest[0]);
    if (next === undefined) return undefined;
    node = next;
    rest = rest.slice(1);
  }
  return { node, rest };
}

t.ok(commands.length > 20);
for (const node of commands) {
  t.test(node.path.join(' '), async (t) => {
    const text = helpText(node);
    t.match(node.description, /^[A-Z][^]*\.$/, 'says in a sentence what it does');
    t.match(text, 'Exit codes of all commands: 0');
    for (const { meaning, names } of node.flags) t.not(meaning, '', `${names.join(', ')} has a meaning`);
    const examples = (/\nExamples:\n([^]*?)\n\n/.exec(text)?.[1] ?? '')
      .split(/\n|&&/)
      // What stands far behind a command is said about it.
      .map((line) =>
        line
          .trim()
          .replace(/ {2,}.*/, '')
          .replaceAll('"', ''),
      )
      .filter((line) => /^(?:dfget|damselfly) /.test(line));
    t.ok(examples.length > 0, 'has examples');
    const found = examples.map((line) => commandOf(line.split(/\s+/)));
    t.ok(
      found.some((each) => each?.node.command.name() === node.command.name()),
      'one of them is of this command',
    );
    for (const [index, each] of found.entries()) {
      t.ok(each, examples[index] ?? '');
      if (each === undefined) continue;
      const { flags } = commandTree(each.node.command);
      // Flags of older names are not in the help, and are taken all the same.
      const known = [
        ...flags.flatMap(({ names }) => names),
        ...each.node.command.options.flatMap(({ long, short }) => [long ?? '', short ?? '']),
      ];
      // What stands behind -- is for another command.
      const end = each.rest.indexOf('--');
      const own = end < 0 ? each.rest : each.rest.slice(0, end);
      const used = own.filter((word) => /^--?[a-z]/i.test(word)).map((word) => word.replace(/=.*/, ''));
      for (const flag of used) t.ok(known.includes(flag), `${examples[index]}: ${flag}`);
    }
  });
}
