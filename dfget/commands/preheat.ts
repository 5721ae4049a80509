import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { PreheatWishText } from '../../lib/wire/preheat-messages.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { type FollowedJob, followJobs } from '../follow-jobs.ts';
import { createPreheatProgress } from '../preheat-progress.ts';
import { PreheatTrackers } from '../preheat-trackers.ts';
import { printPlan, resumePlan, rollOut, stopPlan } from './preheat-plan.ts';
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
  readonly tracker?: string;
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
  dfget preheat --cancel 12 --tracker tracker-2                     where several trackers have a 12

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
    .option(
      '--tracker <url>',
      'one of the trackers of the daemon, which have jobs and numbers of their own: its URL, address or host (default: for a new job one that is connected, for a number the one that has it)',
    )
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a line: progress events, then the jobs')
    .addHelpText('after', EXAMPLES)
    .action(async (images: readonly string[], flags: PreheatFlags) => {
      await withDaemon(flags, async (client, signal) => {
        const place = { client, trackers: await PreheatTrackers.of(client, flags.tracker, signal) };
        if (flags.list === true) await list(place.trackers, flags);
        else if (flags.cancel !== undefined) await cancel(place, flags, signal);
        else if (flags.stop !== undefined) {
          await stopPlan(place, numberOf('--stop', flags.stop), flags, signal);
        } else if (flags.resume !== undefined) {
          await resumePlan(place, numberOf('--resume', flags.resume), flags, signal);
        } else if (flags.plan !== undefined) {
          if (images.length > 0) throw wrong('the images of a plan are in its file');
          await rollOut(place, flags.plan, flags, signal);
        } else if (images.length === 0) throw wrong('name at least one image');
        else await preheat(place, images, flags, signal);
      });
    });
}

interface Place {
  readonly client: DaemonClient;
  readonly trackers: PreheatTrackers;
}

async function preheat(
  { client, trackers }: Place,
  images: readonly string[],
  flags: PreheatFlags,
  signal: AbortSignal,
): Promise<void> {
  const { detach, json = false } = flags;
  const made: FollowedJob[] = [];
  for (const image of images) {
    const { jobs, tracker } = await client.preheats(
      { act: 'create', wish: wishOf(image, flags) },
      // All of them to one tracker: then their numbers tell them apart.
      trackers.named ?? made[0]?.tracker,
      signal,
    );
    const [job] = jobs;
    if (job === undefined) throw new DamselflyError('UPSTREAM_BROKEN', 'the tracker made no job');
    made.push({ tracker, job });
  }
  if (detach === true) {
    for (const each of made) print(each, trackers, flags);
    return;
  }
  const progress = createPreheatProgress({ json, isTty: process.stderr.isTTY === true });
  try {
    const ended = await followJobs(client, made, (job) => progress.show(job), signal);
    progress.stop();
    for (const [index, job] of ended.entries()) {
      print({ job, tracker: made[index]?.tracker ?? '' }, trackers, flags);
    }
    if (ended.some(({ state }) => state !== 'succeeded')) process.exitCode = EXIT.failed;
  } catch (error) {
    progress.stop();
    for (const { job, tracker } of json ? [] : made) {
      const cancel = trackers.command('cancel', job.id, tracker);
      process.stderr.write(`the tracker goes on with job ${job.id}; to end it: ${cancel}\n`);
    }
    throw error;
  }
}

async function list(trackers: PreheatTrackers, flags: PreheatFlags): Promise<void> {
  const { found, silent } = await trackers.list();
  for (const { job, plan, tracker } of found) {
    if (plan !== undefined) printPlan({ plan, tracker }, trackers, flags);
    else print({ job, tracker }, trackers, flags);
  }
  for (const tracker of silent) {
    process.stderr.write(`${trackers.told(tracker)} does not answer: what it has is not shown\n`);
  }
}

/** Jobs and plans have their numbers from the same row. */
async function cancel({ client, trackers }: Place, flags: PreheatFlags, signal: AbortSignal): Promise<void> {
  const id = numberOf('--cancel', flags.cancel);
  const { plan, tracker } = await trackers.whose('cancel', id);
  if (plan === undefined) {
    const { jobs } = await client.preheats({ act: 'cancel', id }, tracker, signal);
    for (const job of jobs) print({ job, tracker }, trackers, flags);
  } else {
    const { plans } = await client.plans({ act: 'cancel', id }, tracker, signal);
    for (const each of plans) printPlan({ plan: each, tracker }, trackers, flags);
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

function print({ job, tracker }: FollowedJob, trackers: PreheatTrackers, { json }: PreheatFlags): void {
  const text =
    json === true
      ? `${JSON.stringify({ event: 'job', ...job, tracker })}\n`
      : describe(job, trackers.told(tracker));
  process.stdout.write(text);
}

/** @param tracker where another one may have the same number */
function describe(job: FollowedJob['job'], tracker: string | undefined): string {
  const { doneBytes, error, failures, id, image, nodes, notes, state, tags, targets, totalBytes } = job;
  const what = tags === undefined ? image : `${image}:${tags}`;
  const machines = `${targets.done} of ${targets.total} machines, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  const failed = failures.map(
    ({ error: why, node }) => `  ${node.slice(0, 8)}: ${why.code}: ${why.message}\n`,
  );
  const why = error === undefined ? '' : `  ${error.code}: ${error.message}\n`;
  const at = tracker === undefined ? '' : `  at ${tracker}`;
  return `job ${id}${at}  ${state}  ${what}  to ${nodes}: ${machines}\n${why}${failed.join('')}${notes.map((note) => `  ${note}\n`).join('')}`;
}

function wrong(message: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `${message} (dfget preheat --help)`);
}
