import type { Command, Option } from 'commander';

/** A command as its users see it: what can be typed after it. */
export interface CommandNode {
  /** From the program on: `['dfget', 'cache', 'ls']`. */
  readonly path: readonly string[];
  readonly description: string;
  readonly commands: readonly CommandNode[];
  readonly flags: readonly Flag[];
  /** What its arguments may be, where that is one of a few words. */
  readonly choices: readonly string[];
  readonly command: Command;
}

export interface Flag {
  /** `-o`, `--output` */
  readonly names: readonly string[];
  readonly meaning: string;
  readonly takesValue: boolean;
}

/** Everything that can be typed, without what help leaves out. */
export function commandTree(command: Command, parents: readonly string[] = []): CommandNode {
  const path = [...parents, command.name()];
  const help = command.createHelp();
  return {
    path,
    command,
    description: command.description(),
    commands: help
      .visibleCommands(command)
      .filter((each) => each.name() !== 'help')
      .map((each) => commandTree(each, path)),
    flags: help.visibleOptions(command).map(flagOf),
    choices: command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
  };
}

/** The node and all below it. */
export function* everyCommand(node: CommandNode): Generator<CommandNode> {
  yield node;
  for (const each of node.commands) yield* everyCommand(each);
}

function flagOf(option: Option): Flag {
  const names = [option.short, option.long].filter((name) => typeof name === 'string');
  return { names, meaning: option.description, takesValue: option.required || option.optional };
}
