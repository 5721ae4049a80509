import { Command } from 'commander';
import { orFail } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import { changeByTracker } from '../change-by-tracker.ts';
import { ruleChange } from '../daemon/settings.ts';
import type { SettingsAnswer, SettingsChange } from '../local-protocol.ts';
import { caDirOption, trackerOption } from './by-tracker-options.ts';
import { withDaemon } from './with-daemon.ts';

interface SettingsFlags {
  readonly socket: string;
  readonly zone?: string;
  readonly node?: string;
  readonly tracker?: readonly string[];
  readonly caDir?: string;
  readonly json?: boolean;
}

const ANSWER_WAIT_MS = 5_000;

/** `dfget settings get|set|unset` */
export function settingsCommand(): Command {
  const command = new Command('settings').description(
    'Settings of nodes that run, changed without a restart: of the whole cluster, of a zone or of one node. They win over what each node was started with, are kept by nodes and trackers, and hold for nodes that come later.',
  );
  const add = (name: string, about: string, examples: readonly string[], argument?: string): Command => {
    const each = new Command(name).description(about).addHelpText('after', exampleText(examples));
    if (argument !== undefined) {
      each
        .argument(argument)
        .option('--zone <zone>', 'only nodes of this zone and of those within it')
        .option('--node <id>', 'only nodes whose id begins like this')
        .addOption(trackerOption())
        .addOption(caDirOption());
    }
    each
      .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
      .option('--json', 'print one JSON object');
    command.addCommand(each);
    return each;
  };
  const { get, set, unset } = EXAMPLES;
  add('get', 'What is in force on this node, and what the cluster has set.', get).action(
    (flags: SettingsFlags) => ask(flags, undefined),
  );
  add('set', 'Set values; a wrong one changes nothing anywhere.', set, '<name=value...>').action(
    (texts: string[], flags: SettingsFlags) =>
      ask(flags, () => ({ set: parseValues(texts), ...targetOf(flags) })),
  );
  add('unset', 'Let nodes go back to their own values.', unset, '<name...>').action(
    (names: string[], flags: SettingsFlags) => ask(flags, () => ({ unset: names, ...targetOf(flags) })),
  );
  return command.addHelpText('after', exampleText([...get, ...set, ...unset]));
}

const EXAMPLES = {
  get: ['dfget settings get'],
  set: [
    'dfget settings set upload-rate=20MB/s registry-rate=50MB/s',
    'dfget settings set log-level=debug --node 2c5985ec',
    'dfget settings set upload-rate=20MB/s --tracker wss://tracker.corp:8400 --ca-dir /var/lib/damselfly/ca',
  ],
  unset: ['dfget settings unset upload-rate --zone eu-1'],
} as const;

function exampleText(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

function targetOf({ node, zone }: SettingsFlags): Pick<SettingsChange, 'zone' | 'node'> {
  return { ...(zone === undefined ? {} : { zone }), ...(node === undefined ? {} : { node }) };
}

/** @throws CONFIG_INVALID */
function parseValues(texts: readonly string[]): Record<string, string> {
  const values = texts.map((text) => {
    const at = text.indexOf('=');
    if (at > 0) return [text.slice(0, at).replace(/^--/, ''), text.slice(at + 1)];
    const message = `got ${JSON.stringify(text)}; expected NAME=VALUE, such as upload-rate=20MB/s`;
    throw new DamselflyError('CONFIG_INVALID', message);
  });
  return Object.fromEntries(values) as Record<string, string>;
}

async function ask(flags: SettingsFlags, change: (() => SettingsChange) | undefined): Promise<void> {
  const { caDir = '', json = false, socket, tracker = [] } = flags;
  if (change !== undefined && tracker.length > 0) {
    return await orFail(json, async () => {
      const { rules = [] } = await changeByTracker(tracker, caDir, ruleChange(change()));
      const text = describe({ confirmed: true, inForce: {}, refused: [], rules });
      process.stdout.write(json ? `${JSON.stringify({ rules, confirmed: true })}\n` : text);
    });
  }
  await withDaemon({ json, socket }, async (client, signal) => {
    const answer = await client.settings(
      change?.(),
      AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WAIT_MS)]),
    );
    process.stdout.write(json ? `${JSON.stringify(answer)}\n` : describe(answer));
    if (!answer.confirmed || answer.refused.length > 0) process.exitCode = EXIT.failed;
  });
}

function describe({ confirmed, inForce, refused, rules }: SettingsAnswer): string {
  const lines = Object.entries(inForce).map(([name, value]) => `${name.padEnd(17)} ${value}`);
  for (const { node, values, zone } of rules) {
    const whom = [zone === undefined ? [] : `zone ${zone}`, node === undefined ? [] : `node ${node}`].flat();
    const said = Object.entries(values).map(([name, value]) => `${name}=${value}`);
    lines.push(`set for ${whom.join(', ') || 'all nodes'}: ${said.join(' ')}`);
  }
  if (lines.length === 0) lines.push('nothing is set');
  lines.push(...refused);
  if (!confirmed) lines.push('no tracker answers: the other nodes hear of it when one does');
  return `${lines.join('\n')}\n`;
}
