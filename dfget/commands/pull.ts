import { Command } from 'commander';
import { exitCodeOf, printError } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes, formatDuration, formatRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createDaemonClient } from '../daemon-client.ts';
import { pullImage } from '../pull-image.ts';
import { createPullProgress } from '../pull-progress.ts';

interface PullFlags {
  readonly platform?: string;
  readonly socket: string;
  readonly json?: boolean;
}

/** `dfget pull IMAGE` */
export function pullCommand(): Command {
  return new Command('pull')
    .description(
      'Bring an image onto this machine through the swarm, verified, so that the next pull finds it here.',
    )
    .argument('<image>', 'as in "docker pull": harbor.corp/team/app:v1')
    .option('--platform <os/arch>', 'of a multi-platform image (default: this machine)')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a line: progress events, then the result')
    .addHelpText(
      'after',
      '\nExamples:\n  dfget pull harbor.corp/team/app:v1\n  dfget pull --platform linux/arm64 docker.io/library/alpine:3.20\n',
    )
    .action(async (image: string, { json = false, platform, socket }: PullFlags) => {
      const client = createDaemonClient(socket);
      const gaveUp = new AbortController();
      const onSignal = (): void => gaveUp.abort(new DamselflyError('ABORTED', 'interrupted'));
      process.once('SIGINT', onSignal);
      process.once('SIGTERM', onSignal);
      const progress = createPullProgress({ json, isTty: process.stderr.isTTY === true });
      const startedMs = performance.now();
      try {
        const result = await pullImage(
          client,
          { image, ...(platform === undefined ? {} : { platform }) },
          progress,
          gaveUp.signal,
        );
        progress.stop();
        const elapsedMs = performance.now() - startedMs;
        if (json) {
          process.stdout.write(
            `${JSON.stringify({ event: 'done', ...result, seconds: elapsedMs / 1000 })}\n`,
          );
        } else {
          const rate = formatRate(result.bytes / (elapsedMs / 1000));
          process.stdout.write(
            `${result.image}@${result.digest}\n${result.blobs} blobs, ${formatBytes(result.bytes)} verified in ${formatDuration(elapsedMs)} (${rate})\n`,
          );
        }
      } catch (error) {
        progress.stop();
        printError(error, json);
        process.exitCode = exitCodeOf(error);
      } finally {
        process.off('SIGINT', onSignal);
        process.off('SIGTERM', onSignal);
        await client.close();
      }
    });
}
