import { damselflyCli } from '../damselfly/cli.ts';
import { dfgetCli } from '../dfget/cli.ts';
import { NOTED_FLAGS } from '../dfget/commands/dragonfly-flags.ts';
import { type CommandNode, commandTree, everyCommand } from '../lib/command/command-tree.ts';

export const NOTE = '<!-- Written by `npm run docs` from the code: change it there. -->';

const HELP_WIDTH = 110;

/** docs/CLI.md: every command's help, exit codes, and what the flags of Dragonfly's dfget mean. */
export async function commandLine(): Promise<string> {
  const programs = [commandTree(await dfgetCli(undefined)), commandTree(damselflyCli())];
  return `# Commands

${NOTE}

Every command has \`--help\`; below is what it says. Settings of the processes (\`dfget daemon\`, \`damselfly up|tracker|supernode\`) are
in [CONFIGURATION.md](CONFIGURATION.md).

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed: the error is on stderr as \`CODE: message\`, with \`--json\` on stdout as an object ([ERRORS.md](ERRORS.md) has the codes) |
| 2 | a word, flag or setting was wrong: nothing was done |
| 130 | interrupted |

Also 1: \`dfget cache rm|pin|unpin\` when one of several was not there, \`dfget doctor\` when something is wrong, \`dfget settings\` and
\`dfget pause\` when the change is made but not confirmed. With \`--json\` a command prints one object a line; progress is shown
on a terminal only, and notes go to stderr.

## Shell completion

\`\`\`sh
dfget completion bash > /etc/bash_completion.d/dfget
dfget completion zsh > /usr/local/share/zsh/site-functions/_dfget
dfget completion fish > ~/.config/fish/completions/dfget.fish
\`\`\`

The same with \`damselfly\`.

## A file at a URL

\`dfget URL\` brings any file over http or https through the swarm: the daemon asks the source whether this caller may have it,
reads it with the other nodes, and the command writes it, under a hidden name until it is whole and checked. What there is of
it when it is interrupted stays there and is used by the next attempt, if it is still the same file at its source.

- The host has to be an upstream of the daemon and of the supernodes, as registries are: \`--upstream files.corp=https://files.corp\`, or
  a pattern. Their credentials are used for it only with \`trust: node\`.
- The source is asked each time, with what this caller shows (\`-H\`, the user in the URL, its query). What is shown travels to
  supernodes, which read with it, and to no other host: not where the source redirects to.
- \`--digest\` is checked by the command in any case. A \`sha256\` or \`sha512\` of a file that is asked for without headers, user or
  query is also the file's name in the swarm: wherever it is, it is one file, and wrong bytes are dropped by every node. A file
  without is known by its URL, strong ETag or Last-Modified, and size; then whoever reads it from the source vouches for each piece.
- Straight from the source, which is said: when no daemon runs, the host is no upstream or paused, or the source tells neither size nor
  a strong ETag or Last-Modified. \`--notbs\` makes that a failure.

### Flags of Dragonfly's dfget

Those of version 1 and 2 are taken, with the meaning that they have there. Two differ between the versions, and are told apart by
what they are given: \`-p p2p|cdn|source\` is the pattern of version 1, \`-p 6\` the priority of version 2; \`-e 30\` the timeout of version 1
in seconds, \`-e /run/damselfly.sock\` the endpoint of version 2.

| flag | here |
|---|---|
| \`-u\`, \`--url URL\` | the URL |
| \`-O FILE\` | \`--output\`; an existing file is replaced |
| \`-m\`, \`--md5 HEX\` | \`--digest md5:HEX\` |
| \`-i\`, \`--identifier\`, \`--tag\`, \`--application\`, \`--content-for-calculating-task-id\` | keep the file apart from the same file under another one |
| \`-f\`, \`--filter 'a&b'\`, \`--filtered-query-param a\` | query parameters that do not tell files apart |
| \`-H\`, \`--header 'Name: value'\` | for the source alone; \`Host\` and \`Range\` are refused |
| \`-p\`, \`--pattern\` | \`source\`: past the swarm; \`cdn\` is \`p2p\` |
| \`--notbs\`, \`--disable-back-to-source\` | never straight from the source |
| \`-e\`, \`--timeout\` | a number is seconds |
| \`-e\`, \`--endpoint PATH\` | \`--socket\` |
| \`-s\`, \`--locallimit RATE\` | of this command; what the node may read is a setting of its daemon |
| \`-b\`, \`--showbar\` | a bar, and the closing line \`download SUCCESS(0) cost:0.026s length:141898 reason:0\`; reason 0: the swarm, 1: not shared, 3: the swarm broke off, 5: no daemon, 100: as asked. \`FAIL(1101)\`: nothing was asked yet, \`1103\`: the swarm cannot have it, \`1104\`: it did not come; reason 2: another digest, 6: not written, 10: the source, and 1000 more with \`--notbs\` |
| \`--no-progress\` | no bar on a terminal |

These have no effect, which is said:

| flag | version | why |
|---|---|---|
${NOTED_FLAGS.map(({ flags, generation, why }) => `| \`${flags}\` | ${generation} | ${why} |`).join('\n')}

${programs.map(programText).join('\n')}`;
}

function programText(program: CommandNode): string {
  const commands = [...everyCommand(program)].filter((node) => node.commands.length === 0);
  return [`## ${program.path.join(' ')}`, ...commands.map(commandText)].join('\n\n').concat('\n');
}

function commandText(node: CommandNode): string {
  const title = `### ${node.path.join(' ')}`;
  // Of a process the settings are a page of their own.
  const isProcess = node.flags.some(({ names }) => names.includes('--log-level'));
  return isProcess
    ? `${title}\n\n${node.description} Settings: [CONFIGURATION.md](CONFIGURATION.md#${node.path.join('-')}).`
    : `${title}\n\n\`\`\`\n${helpText(node).trim()}\n\`\`\``;
}

/** What `--help` prints on a terminal of a fixed width. */
export function helpText({ command }: CommandNode): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => HELP_WIDTH,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}
