import { Command, Option } from 'commander';
import { orFail } from '../lib/command/fail.ts';
import { createAnnouncePasskey, readAnnouncePasskey } from '../lib/security/announce-passkey.ts';
import { MEMBER_ROLES, type MemberRole } from '../lib/security/identity.ts';
import { createJoinToken, readJoinToken } from '../lib/security/join-token.ts';
import { requireAuthority } from '../lib/security/system/authority-folder.ts';
import { caDirOption } from './ca-dir.ts';
import { durationOf } from './duration-flag.ts';

interface CreateFlags {
  readonly role: MemberRole;
  readonly ttl: string;
  readonly caDir: string;
  readonly bittorrent?: boolean;
  readonly json?: boolean;
}

/** `damselfly token create` */
export function tokenCommand(): Command {
  const create = new Command('create')
    .description(
      'Make a join token: whoever has it may become a member until it expires. Needs the authority.',
    )
    .addOption(new Option('--role <role>', 'what its holder becomes').choices(MEMBER_ROLES).default('node'))
    .addOption(
      new Option(
        '--bittorrent',
        'a passkey instead, for "dfget cache share --passkey": BitTorrent clients that have it may announce what is shared',
      ).conflicts('role'),
    )
    .option('--ttl <time>', 'how long it can be used; members stay members', '1h')
    .addOption(caDirOption())
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  damselfly token create\n  damselfly token create --role supernode --ttl 24h\n' +
        '  damselfly token create --bittorrent --ttl 30d\n' +
        '  dfget daemon --tracker wss://tracker.corp:8400 --join-token "$(damselfly token create)"\n',
    )
    .action(async (flags: CreateFlags) => {
      const { caDir, role } = flags;
      const json = flags.json === true;
      await orFail(json, async () => {
        const expiresAtMs = Date.now() + durationOf('--ttl', flags.ttl);
        const expires = new Date(expiresAtMs).toISOString();
        if (flags.bittorrent === true) {
          const passkey = createAnnouncePasskey(await requireAuthority(caDir, Date.now), expiresAtMs);
          const { id } = readAnnouncePasskey(passkey);
          process.stdout.write(json ? `${JSON.stringify({ passkey, id, expires })}\n` : `${passkey}\n`);
          return;
        }
        const token = createJoinToken(await requireAuthority(caDir, Date.now), { role, expiresAtMs });
        const { id } = readJoinToken(token);
        process.stdout.write(json ? `${JSON.stringify({ token, id, role, expires })}\n` : `${token}\n`);
      });
    });
  return new Command('token').description('Tokens that let processes join the cluster.').addCommand(create);
}
