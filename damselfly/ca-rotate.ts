import { Command } from 'commander';
import { orFail } from '../lib/command/fail.ts';
import { rotateAuthority } from '../lib/security/system/authority-folder.ts';
import { caDirOption } from './ca-dir.ts';
import { durationOf } from './duration-flag.ts';

interface RotateFlags {
  readonly caDir: string;
  readonly overlap: string;
  readonly json?: boolean;
}

/** `damselfly ca rotate` */
export function rotateCommand(): Command {
  return new Command('rotate')
    .description(
      'Replace the authority by a new one while the cluster works: its trackers tell all members, which then believe both; after the overlap the new one issues, and members renew their certificates by themselves; after another overlap the old one counts no more. Who was away all the time needs a new join token.',
    )
    .addOption(caDirOption())
    .option(
      '--overlap <time>',
      'how long each of the two steps takes; no shorter than members may be away',
      '24h',
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  damselfly ca rotate\n  damselfly ca rotate --overlap 2h\n')
    .action(async ({ caDir, json = false, overlap }: RotateFlags) => {
      await orFail(json, async () => {
        const overlapMs = durationOf('--overlap', overlap);
        const { authority, rotation } = await rotateAuthority(caDir, { nowMs: Date.now(), overlapMs });
        const fingerprint = authority.fingerprint.toString('hex');
        const issues = new Date(rotation.issueAtMs).toISOString();
        const dropsOld = new Date(rotation.dropAtMs).toISOString();
        process.stdout.write(
          json
            ? `${JSON.stringify({ caDir, fingerprint, issues, dropsOld })}\n`
            : `A new authority in ${caDir}: issues certificates from ${issues} on; the old one counts until ${dropsOld}.\n` +
                `Copy next.crt, next.key, rotation and revocations to wherever trackers have this folder. SHA-256 of the new certificate: ${fingerprint}\n`,
        );
      });
    });
}
