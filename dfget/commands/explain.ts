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

Tells of the last pull of each blob by a client of this machine, or the one under way:
  bytes    where they came from
  waited   what the client waited for, the longest first
  limit    how short it could have been, and what sets that: the highest rate at which this node received bytes in any
           half second of the last ten minutes, or read a registry at, or the client itself
  slow     whom the client waited for, a tenth of the time or longer: look at that machine or its network first
  registry read by this node itself   why the swarm did not give it
  wrong    pieces that were not what they should be; who sent them is spoken to no more

An image's list of blobs is read from its registry. While that does not answer, name a blob: "dfget cache ls" has the digests.
The daemon remembers some 30,000 events, and none from before it was started.
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
