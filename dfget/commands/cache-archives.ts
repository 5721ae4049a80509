import { Command, Option } from 'commander';
import { formatBytes } from '../../lib/config/units.ts';
import { ALL_PLATFORMS } from '../../lib/origin/resolve-image.ts';
import { exportImage } from '../export-image.ts';
import { importArchive } from '../import-archive.ts';
import { createPullProgress } from '../pull-progress.ts';
import { type DaemonFlags, withDaemon } from './with-daemon.ts';

interface ExportFlags extends DaemonFlags {
  readonly output: string;
  readonly platform?: string;
  readonly allPlatforms?: boolean;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const progressFor = ({ json = false }: DaemonFlags) =>
  createPullProgress({ json, isTty: process.stderr.isTTY === true });

/** `dfget cache export` */
export function exportCommand(): Command {
  return new Command('export')
    .description(
      'Write an image of the store as one archive, without fetching anything; docker, ctr, podman and skopeo load it.',
    )
    .argument('<image>')
    .requiredOption('-o, --output <file>', 'the archive')
    .option('--platform <os/arch[/variant]>', 'of a multi-platform image (default: this machine)')
    .addOption(
      new Option('--all-platforms', 'the whole index of a multi-platform image').conflicts('platform'),
    )
    .addHelpText('after', '\nExamples:\n  dfget cache export -o app.tar harbor.corp/team/app:v1\n')
    .action(async (image: string, flags: ExportFlags) =>
      withDaemon(flags, async (client, signal) => {
        const { allPlatforms, json, output } = flags;
        const wanted = { image, platform: allPlatforms === true ? ALL_PLATFORMS : flags.platform };
        const progress = progressFor(flags);
        try {
          const done = await exportImage(client, wanted, output, progress, signal);
          progress.stop();
          if (json === true) print(JSON.stringify({ event: 'done', ...done, output }));
          else {
            print(
              `${done.image}@${done.digest}\n${done.blobs} blobs, ${formatBytes(done.bytes)} in ${output}`,
            );
          }
        } finally {
          progress.stop();
        }
      }),
    );
}

/** `dfget cache import` */
export function importCommand(): Command {
  return new Command('import')
    .description(
      'Bring the images of an OCI archive into the store, verified and pinned, and share them from then on.',
    )
    .argument('<file>', 'as written by dfget pull -o, dfget cache export, docker save; also with gzip')
    .option('--name <image>', 'of an archive with one image that does not name it, or under another name')
    .addHelpText(
      'after',
      `
Examples:
  dfget cache import app.tar
  dfget cache import --name harbor.corp/team/app:v1 app.tar

Where there is no registry: run the daemon that imports with --offline-registry harbor.corp and a mirror that others
reach (--proxy-listen 0.0.0.0:65001); the others with --upstream harbor.corp=http://THAT-MACHINE:65001.
`,
    )
    .action(async (file: string, flags: DaemonFlags & { readonly name?: string }) =>
      withDaemon(flags, async (client, signal) => {
        const progress = progressFor(flags);
        try {
          const images = await importArchive(client, { file, name: flags.name }, progress, signal);
          progress.stop();
          for (const image of images) {
            if (flags.json === true) print(JSON.stringify({ event: 'imported', ...image }));
            else print(`${image.image}@${image.digest}`);
          }
        } finally {
          progress.stop();
        }
      }),
    );
}
