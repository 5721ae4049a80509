import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { Finding } from '../doctor/check.ts';
import { examine } from '../doctor/doctor.ts';
import { thisMachine } from '../doctor/this-machine.ts';
import { withDaemon } from './with-daemon.ts';

/** `dfget doctor` */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'Look for what keeps pulls on this machine from going through the mirror, and say what cures it.',
    )
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Changes nothing. Looks at the daemon, its mirror, registries, trackers and supernodes, clocks, the files of container
clients, and the disk.

Examples:
  dfget doctor
  dfget doctor --json

Exit codes: 0 no problem (there may be warnings); 1 a problem; 2 wrong usage.
`,
    )
    .action(async ({ json = false, socket }: { json?: boolean; socket: string }) => {
      await withDaemon({ json, socket }, async (client) => {
        const findings = await examine(await thisMachine(client));
        const healthy = findings.every(({ state }) => state !== 'problem');
        process.stdout.write(json ? `${JSON.stringify({ healthy, findings })}\n` : describe(findings));
        if (!healthy) process.exitCode = EXIT.failed;
      });
    });
}

function describe(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ check, cure, says, state }) => [
    `${state.padEnd(8)} ${check}: ${says}`,
    ...(cure === undefined ? [] : [`         -> ${cure}`]),
  ]);
  return `${lines.join('\n')}\n`;
}
