import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { VERSION } from '../../lib/core/version.ts';
import { withDaemon } from './with-daemon.ts';

/** Longer than a daemon gives the next one to come up. */
const UPGRADE_MS = 120_000;

/** `dfget upgrade` */
export function upgradeCommand(): Command {
  return new Command('upgrade')
    .description(
      'Put this version of dfget in the place of the daemon that runs, with the same arguments and its settings read anew. No client notices: connections are taken all the time, and answers under way are finished. If the new daemon does not come up, the old one goes on.',
    )
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  dfget upgrade\n  /opt/damselfly-next/bin/dfget upgrade --json\n\nExit codes: 0 the new daemon serves, 1 the old one goes on.\n',
    )
    .action(async ({ json = false, socket }: { json?: boolean; socket: string }) => {
      await withDaemon({ json, socket }, async (client, signal) => {
        const { pid } = await client.upgrade(
          ownProgram(),
          AbortSignal.any([signal, AbortSignal.timeout(UPGRADE_MS)]),
        );
        const told = json
          ? JSON.stringify({ pid, version: VERSION })
          : `dfget ${VERSION} serves now, as process ${pid}`;
        process.stdout.write(`${told}\n`);
      });
    });
}

/** How this very program was started, without what it was asked. */
function ownProgram(): string[] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}
