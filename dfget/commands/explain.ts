import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { explainNamed } from '../explain.ts';
import { explanationText } from '../explanation-text.ts';
import { withDaemon } from './with-daemon.ts';

interface ExplainFlags {
  readonly platform?: string;
  readonly trace?: boolean;
  readonly socket: string;
  readonly json?: boolean;
}

const HELP = `
Examples:
  dfget explain harbor.corp/team/app:v1
  dfget explain sha256:0a1b2c
  dfget explain --json harbor.corp/team/app:v1
  dfget explain --trace harbor.corp/team/app:v1 > pull.jsonl

Tells of the last pull of each blob, or the one under way: which bytes came from this node's store, other nodes,
supernodes and the registry; how long it took, and how short it could have been at the highest rate that this node ever
received at; what its client waited for, and whom it waited for longest. The daemon remembers some 30,000 events.
`;

/** `dfget explain IMAGE|DIGEST` */
export function explainCommand(): Command {
  return new Command('explain')
    .description(
      'Why a pull on this machine took as long as it did: where bytes and time went, and who was slow.',
    )
    .argument('<image|digest>', 'an image, a digest, or the beginning of one')
    .option('--platform <os/arch[/variant]>', 'of a multi-platform image (default: this machine)')
    .option('--trace', 'print the events themselves, one JSON object a line (docs/TRACE.md)')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(async (name: string, flags: ExplainFlags) => {
      const { json = false, trace = false } = flags;
      await withDaemon(flags, async (client, signal) => {
        const { explanation, text } = await explainNamed(client, name, flags.platform, signal);
        if (trace) process.stdout.write(text);
        else process.stdout.write(json ? `${JSON.stringify(explanation)}\n` : explanationText(explanation));
      });
    });
}
