import { Command } from 'commander';
import { orFail } from '../lib/command/fail.ts';
import {
  DEFAULT_CLUSTER,
  initAuthority,
  requireAuthority,
  revoke as revokeIn,
} from '../lib/security/system/authority-folder.ts';
import { caDirOption } from './ca-dir.ts';
import { rotateCommand } from './ca-rotate.ts';

interface InitFlags {
  readonly caDir: string;
  readonly cluster: string;
  readonly json?: boolean;
}

/** `damselfly ca init|revoke|rotate` */
export function caCommand(): Command {
  const init = new Command('init')
    .description(
      "Make the cluster's authority: the key that says who is a member. Its tracker needs it, nobody else.",
    )
    .addOption(caDirOption('where to'))
    .option('--cluster <name>', 'what the cluster is called in certificates', DEFAULT_CLUSTER)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  damselfly ca init\n  damselfly ca init --ca-dir /srv/ca --cluster north\n',
    )
    .action(async (flags: InitFlags) => {
      const { caDir, cluster } = flags;
      const json = flags.json === true;
      await orFail(json, async () => {
        const authority = await initAuthority(caDir, { cluster, nowMs: Date.now() });
        const fingerprint = authority.fingerprint.toString('hex');
        process.stdout.write(
          json
            ? `${JSON.stringify({ cluster, caDir, fingerprint })}\n`
            : `Authority of the cluster ${cluster} in ${caDir}; keep ca.key secret, and a copy of it.\n` +
                `SHA-256 of its certificate: ${fingerprint}\n`,
        );
      });
    });
  const revoke = new Command('revoke')
    .description(
      'Take a membership back: within seconds trackers know, tell all members, and whoever has a connection to it cuts it.',
    )
    .argument('<what>', 'a member as ROLE/NAME, such as node/NAME, or the serial number of a certificate')
    .addOption(caDirOption())
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  damselfly ca revoke node/2b4f6c0d8e1a3957bd02c4e6f8091a2b3c4d5e6f\n',
    )
    .action(async (what: string, flags: Omit<InitFlags, 'cluster'>) => {
      const { caDir } = flags;
      const json = flags.json === true;
      await orFail(json, async () => {
        const list = await revokeIn(caDir, await requireAuthority(caDir, Date.now), what);
        const revoked = [...list.members, ...list.serials];
        process.stdout.write(json ? `${JSON.stringify(list)}\n` : `revoked: ${revoked.join(', ')}\n`);
      });
    });
  return new Command('ca')
    .description("The cluster's certificate authority.")
    .addCommand(init)
    .addCommand(revoke)
    .addCommand(rotateCommand());
}
