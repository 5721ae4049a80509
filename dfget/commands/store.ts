import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { z } from 'zod';
import { orFail } from '../../lib/command/fail.ts';
import { defaultDataDir } from '../../lib/config/common.ts';
import { formatBytes } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { openLevelKeyValue } from '../../lib/store/key-value/level-key-value.ts';
import { type MigrationReport, migrateFolder } from '../../lib/store/layouts/migrate.ts';
import { recordsFolder } from '../../lib/store/path.ts';
import { storeError } from '../../lib/store/store-error.ts';
import { LAYOUT } from '../../lib/store/version.ts';

interface MigrateFlags {
  readonly dataDir?: readonly string[];
  readonly to: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  dfget store migrate --dry-run                            what would be done
  systemctl stop dfget-daemon && dfget store migrate && systemctl start dfget-daemon
  dfget store migrate --data-dir /mnt/a --data-dir /mnt/b  of several directories
  dfget store migrate --to 1                               before an older version is started again

Blobs stay where they are: only what is recorded of them is written anew, one blob after the other. When it is
interrupted, run it again.
`;

/** `dfget store migrate` */
export function storeCommand(): Command {
  const store = new Command('store').description(
    'The data directories of this machine, while nobody uses them.',
  );
  store.addCommand(
    new Command('migrate')
      .description('Bring a data directory of another version of Damselfly to this one, or back.')
      .option(
        '--data-dir <folder>',
        `of a daemon or a supernode, which does not run; repeatable (default: ${defaultDataDir('node')})`,
        (value: string, before: readonly string[] = []) => [...before, value],
      )
      .option(
        '--to <layout>',
        `the layout to go to (default: ${LAYOUT}, that of this version)`,
        String(LAYOUT),
      )
      .option('--dry-run', 'say what would be done')
      .option('--json', 'print one JSON object for each directory')
      .addHelpText('after', EXAMPLES)
      .action(async (flags: MigrateFlags) => {
        const { dataDir = [defaultDataDir('node')], dryRun = false, json = false } = flags;
        await orFail(json, async () => {
          const to = z.coerce.number().int().min(1).safeParse(flags.to).data;
          if (to === undefined) {
            throw new DamselflyError('CONFIG_INVALID', '--to takes the number of a layout');
          }
          for (const folder of dataDir) {
            const report = await migrate(folder, to, dryRun);
            process.stdout.write(json ? `${JSON.stringify(report)}\n` : describe(report));
          }
        });
      }),
  );
  return store;
}

async function migrate(folder: string, to: number, dryRun: boolean): Promise<MigrationReport> {
  const openRecords = () => openLevelKeyValue(recordsFolder(folder));
  try {
    return await asOwner(recordsFolder(folder), () =>
      migrateFolder({ disk: createNodeDisk(), folder, openRecords }, to, { dryRun }),
    );
  } catch (error) {
    throw storeError(error, `migrate ${folder}`, { folder });
  }
}

/** What root writes here the process of another user could not read: root acts as whoever has the folder. */
async function asOwner<T>(folder: string, act: () => Promise<T>): Promise<T> {
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? await stat(folder).catch(() => undefined) : undefined;
  if (owner === undefined || owner.uid === 0) return await act();
  process.setegid?.(owner.gid);
  process.seteuid?.(owner.uid);
  try {
    return await act();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function describe({ blobs, bytes, dropped, dryRun, folder, from, to }: MigrationReport): string {
  if (from === to && blobs + dropped === 0) return `${folder}: is of layout ${to}: nothing to do\n`;
  const lost = dropped === 0 ? '' : `, ${dropped} ${dryRun ? 'would be' : 'were'} dropped`;
  const what = `${blobs} blobs with ${formatBytes(bytes)}${lost}`;
  const way = from === to ? `all the way to layout ${to}` : `from layout ${from} to ${to}`;
  return `${folder}: ${dryRun ? 'would go' : 'went'} ${way}: ${what}\n`;
}
