import { Command, Option } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes, formatDuration, formatRate } from '../../lib/config/units.ts';
import { ALL_PLATFORMS } from '../../lib/origin/resolve-image.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { pullImage } from '../pull-image.ts';
import { createPullProgress } from '../pull-progress.ts';
import { saveImage } from '../save-image.ts';
import { inSpan } from './in-span.ts';
import { withDaemon } from './with-daemon.ts';

interface PullFlags {
  readonly output?: string;
  readonly platform?: string;
  readonly allPlatforms?: boolean;
  readonly socket: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  dfget pull harbor.corp/team/app:v1
  dfget pull --platform linux/arm64 docker.io/library/alpine:3.20
  dfget pull -o app.tar harbor.corp/team/app:v1     then: docker load -i app.tar
                                                      or: ctr -n k8s.io images import app.tar
                                                      or: podman load -i app.tar
                                                      or: skopeo copy oci-archive:app.tar dir:app
  dfget pull -o app.tar --all-platforms harbor.corp/team/app:v1

The file of -o is there when every byte of it has been verified, else it is left as it was. With --all-platforms it
holds the whole index; dockerd without containerd's image store loads this machine's image from it.
`;

/** `dfget pull IMAGE` */
export function pullCommand(): Command {
  return new Command('pull')
    .description(
      'Bring an image onto this machine through the swarm, verified, so that the next pull finds it here; with -o into one file.',
    )
    .argument('<image>', 'as in "docker pull": harbor.corp/team/app:v1')
    .option('-o, --output <file>', 'write an archive that docker, ctr, podman and skopeo load')
    .option('--platform <os/arch[/variant]>', 'of a multi-platform image (default: this machine)')
    .addOption(
      new Option('--all-platforms', 'the whole index of a multi-platform image').conflicts('platform'),
    )
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a line: progress events, then the result')
    .addHelpText('after', EXAMPLES)
    .action(async (image: string, flags: PullFlags) => {
      const { allPlatforms, json = false, output } = flags;
      const platform = allPlatforms === true ? ALL_PLATFORMS : flags.platform;
      const progress = createPullProgress({ json, isTty: process.stderr.isTTY === true });
      const startedMs = performance.now();
      const pull = async (client: DaemonClient, signal: AbortSignal): Promise<void> => {
        const wanted = { image, platform };
        try {
          const result =
            output === undefined
              ? await pullImage(client, wanted, progress, signal)
              : await saveImage(client, wanted, output, progress, signal);
          progress.stop();
          const elapsedMs = performance.now() - startedMs;
          if (json) {
            const done = { event: 'done', ...result, output, seconds: elapsedMs / 1000 };
            process.stdout.write(`${JSON.stringify(done)}\n`);
            return;
          }
          const rate = formatRate(result.bytes / (elapsedMs / 1000));
          process.stdout.write(
            `${result.image}@${result.digest}\n${result.blobs} blobs, ${formatBytes(result.bytes)} verified in ${formatDuration(elapsedMs)} (${rate})\n${output === undefined ? '' : `in ${output}\n`}`,
          );
        } finally {
          progress.stop();
        }
      };
      await inSpan('dfget pull', { facts: { 'damselfly.image': image }, json }, (traceparent) =>
        withDaemon(flags, pull, traceparent),
      );
    });
}
