import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes } from '../../lib/config/units.ts';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { JobView, PreheatWishText } from '../../lib/wire/preheat-messages.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { type FollowedJob, followJobs } from '../follow-jobs.ts';
import { createPreheatProgress } from '../preheat-progress.ts';
import { listPlans, printPlans, resumePlan, rollOut, stopPlan } from './preheat-plan.ts';
import { type DaemonFlags, withDaemon } from './with-daemon.ts';

interface PreheatFlags extends DaemonFlags {
  readonly nodes?: string;
  readonly tags?: string;
  readonly platform?: readonly string[];
  readonly allPlatforms?: boolean;
  readonly batch?: string;
  readonly pause?: string;
  readonly rate?: string;
  readonly timeout?: string;
  readonly detach?: boolean;
  readonly list?: boolean;
  readonly cancel?: string;
  readonly plan?: string;
  readonly stop?: string;
  readonly resume?: string;
}

const EXAMPLES = `
Examples:
  dfget preheat harbor.corp/team/app:v2                             the supernodes have it, nodes pull it from there
  dfget preheat harbor.corp/team/app:v2 --nodes all                 every node has it
  dfget preheat harbor.corp/team/app:v2 --nodes 10%                 a share of the nodes, from all zones alike
  dfget preheat harbor.corp/team/app:v2 --nodes label=pool=gpu --batch 50 --pause 1m
  dfget preheat harbor.corp/team/app --tags 'v2.*' --platform linux/amd64 --platform linux/arm64
  dfget preheat --plan rollout.yaml                                 stage by stage, as docs/PREHEAT.md says
  dfget preheat --list
  dfget preheat --cancel 12
  dfget preheat --resume 13                                         a plan that was stopped goes on

The jobs are the tracker's: they go on when this command is interrupted. Images are read with the credentials that the
supernodes and nodes have for the registry. The command ends with 0 when every machine has every blob, with 1 when a job
failed or was canceled, or a plan was stopped.
`;

/** `dfget preheat IMAGE...` */
export function preheatCommand(): Command {
  const repeated = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
  return new Command('preheat')
    .description('Bring images to the machines of the cluster before anybody pulls them.')
    .argument('[image...]', 'as in "docker pull": harbor.corp/team/app:v1')
    .option(
      '--nodes <which>',
      'supernodes, all, a number, a share such as 10%, zone=NAME, label=KEY=VALUE (default: as the tracker is told, else supernodes)',
    )
    .option('--tags <pattern>', 'all tags that fit, of a repository that is named without one: v2.*')
    .option(
      '--platform <os/arch[/variant]>',
      'of a multi-platform image; repeatable (default: that of the supernodes)',
      repeated,
    )
    .option('--all-platforms', 'of a multi-platform image')
    .option('--batch <size>', 'so many machines at a time, or a share such as 10% (default: all at once)')
    .option('--pause <time>', 'between one batch and the next (default: none)')
    .option('--rate <rate>', 'most that each machine fetches, on average over the blobs, such as 20MiB/s')
    .option('--timeout <time>', 'of the whole job (default: 1h)')
    .option('--detach', 'print the numbers of the jobs and do not wait')
    .option('--plan <file>', 'a staged rollout: images, groups of machines, gate (YAML)')
    .option('--list', 'show the newest plans and jobs')
    .option('--stop <number>', 'stop a plan: nothing new begins until it is resumed')
    .option('--resume <number>', 'go on with a plan that was stopped')
    .option('--cancel <number>', 'end a job or a plan; what is fetched stays')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a line: progress events, then the jobs')
    .addHelpText('after', EXAMPLES)
    .action(async (images: readonly string[], flags: PreheatFlags) => {
      await withDaemon(flags, async (client, signal) => {
        if (flags.list === true) {
          const { jobs } = await client.preheats({ act: 'list' }, undefined, signal);
          printPlans(await listPlans(client, signal), flags);
          print(jobs, flags);
        } else if (flags.cancel !== undefined) await cancel(client, flags, signal);
        else if (flags.stop !== undefined) {
          await stopPlan(client, numberOf('--stop', flags.stop), flags, signal);
        } else if (flags.resume !== undefined) {
          await resumePlan(client, numberOf('--resume', flags.resume), flags, signal);
        } else if (flags.plan !== undefined) {
          if (images.length > 0) throw wrong('the images of a plan are in its file');
          await rollOut(client, flags.plan, flags, signal);
        } else if (images.length === 0) throw wrong('name at least one image');
        else await preheat(client, images, flags, signal);
      });
    });
}

async function preheat(
  client: DaemonClient,
  images: readonly string[],
  flags: PreheatFlags,
  signal: AbortSignal,
): Promise<void> {
  const { detach, json = false } = flags;
  const made: FollowedJob[] = [];
  for (const image of images) {
    const { jobs, tracker } = await client.preheats(
      { act: 'create', wish: wishOf(image, flags) },
      undefined,
      signal,
    );
    const [job] = jobs;
    if (job === undefined) throw new DamselflyError('UPSTREAM_BROKEN', 'the tracker made no job');
    made.push({ tracker, job });
  }
  if (detach === true) {
    print(
      made.map(({ job }) => job),
      flags,
    );
    return;
  }
  const progress = createPreheatProgress({ json, isTty: process.stderr.isTTY === true });
  try {
    const ended = await followJobs(client, made, (job) => progress.show(job), signal);
    progress.stop();
    print(ended, flags);
    if (ended.some(({ state }) => state !== 'succeeded')) process.exitCode = EXIT.failed;
  } catch (error) {
    progress.stop();
    const numbers = made.map(({ job }) => job.id).join(', ');
    if (!json) process.stderr.write(`the tracker goes on with job ${numbers}; see dfget preheat --list\n`);
    throw error;
  }
}

/** Jobs and plans have their numbers from the same row. */
async function cancel(client: DaemonClient, flags: PreheatFlags, signal: AbortSignal): Promise<void> {
  const id = numberOf('--cancel', flags.cancel);
  try {
    print((await client.preheats({ act: 'cancel', id }, undefined, signal)).jobs, flags);
  } catch (error) {
    if (!hasCode(error, 'JOB_UNKNOWN')) throw error;
    printPlans((await client.plans({ act: 'cancel', id }, undefined, signal)).plans, flags);
  }
}

function numberOf(flag: string, text = ''): number {
  const id = Number(text);
  if (text !== '' && Number.isSafeInteger(id) && id >= 0) return id;
  throw wrong(`${flag} takes the number of a job or a plan`);
}

function wishOf(image: string, flags: PreheatFlags): PreheatWishText {
  const { allPlatforms, batch, nodes, pause, platform, rate, tags, timeout } = flags;
  const platforms = allPlatforms === true ? ['all'] : platform;
  return { image, tags, platforms, nodes, batch, pause, rate, timeout };
}

function print(jobs: readonly JobView[], { json }: PreheatFlags): void {
  for (const job of jobs) {
    process.stdout.write(json === true ? `${JSON.stringify({ event: 'job', ...job })}\n` : describe(job));
  }
}

function describe(job: JobView): string {
  const { doneBytes, error, failures, id, image, nodes, notes, state, tags, targets, totalBytes } = job;
  const what = tags === undefined ? image : `${image}:${tags}`;
  const machines = `${targets.done} of ${targets.total} machines, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  const failed = failures.map(
    ({ error: why, node }) => `  ${node.slice(0, 8)}: ${why.code}: ${why.message}\n`,
  );
  const why = error === undefined ? '' : `  ${error.code}: ${error.message}\n`;
  return `job ${id}  ${state}  ${what}  to ${nodes}: ${machines}\n${why}${failed.join('')}${notes.map((note) => `  ${note}\n`).join('')}`;
}

function wrong(message: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `${message} (dfget preheat --help)`);
}
