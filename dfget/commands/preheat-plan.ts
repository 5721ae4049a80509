import { readFile, stat } from 'node:fs/promises';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { PlanView } from '../../lib/wire/plan-messages.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { followPlan } from '../follow-jobs.ts';
import { readPlanFile } from '../plan-file.ts';
import type { PreheatTrackers } from '../preheat-trackers.ts';

/** A plan of fifty stages with twenty images is a few KiB. */
const MAX_FILE_BYTES = 256 * 1024;

interface PlanFlags {
  readonly json?: boolean;
  readonly detach?: boolean;
}

/** Where a plan is, and how to say so. */
interface PlanPlace {
  readonly client: DaemonClient;
  readonly trackers: PreheatTrackers;
}

interface PlanAt {
  readonly plan: PlanView;
  readonly tracker: string;
}

/** `dfget preheat --plan FILE`: hands the plan to a tracker and follows it until it is over or stopped. */
export async function rollOut(
  place: PlanPlace,
  path: string,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const file = readPlanFile(await textOf(path), path);
  const { client, trackers } = place;
  const { plans, tracker } = await client
    .plans({ act: 'create', plan: file.plan }, trackers.named, signal)
    .catch((error: unknown) => {
      throw file.located(error);
    });
  await follow(place, { plan: only(plans), tracker }, flags, signal);
}

/** `dfget preheat --resume N` */
export async function resumePlan(
  place: PlanPlace,
  id: number,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const { tracker } = await place.trackers.whose('resume', id);
  const { plans } = await place.client.plans({ act: 'resume', id }, tracker, signal);
  await follow(place, { plan: only(plans), tracker }, flags, signal);
}

/** `dfget preheat --stop N` */
export async function stopPlan(
  { client, trackers }: PlanPlace,
  id: number,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const { tracker } = await trackers.whose('stop', id);
  const { plans } = await client.plans({ act: 'stop', id }, tracker, signal);
  printPlan({ plan: only(plans), tracker }, trackers, flags);
}

export function printPlan(
  { plan, tracker }: PlanAt,
  trackers: Pick<PreheatTrackers, 'told'>,
  { json }: PlanFlags,
): void {
  const text =
    json === true
      ? `${JSON.stringify({ event: 'plan', ...plan, tracker })}\n`
      : describe(plan, trackers.told(tracker));
  process.stdout.write(text);
}

async function follow(
  { client, trackers }: PlanPlace,
  from: PlanAt,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const { detach, json = false } = flags;
  if (detach === true) {
    printPlan(from, trackers, flags);
    return;
  }
  let shown = '';
  const show = (plan: PlanView): void => {
    const text = line(plan);
    if (text === shown || plan.state !== 'running') return;
    shown = text;
    if (json) process.stdout.write(`${JSON.stringify({ event: 'progress', ...plan })}\n`);
    else process.stderr.write(`${text}\n`);
  };
  const { tracker } = from;
  let ended: PlanView;
  try {
    ended = await followPlan(client, from, show, signal);
  } catch (error) {
    const { id } = from.plan;
    const stop = trackers.command('stop', id, tracker);
    if (!json) process.stderr.write(`the tracker goes on with plan ${id}; to stop it: ${stop}\n`);
    throw error;
  }
  printPlan({ plan: ended, tracker }, trackers, flags);
  if (ended.state !== 'succeeded') process.exitCode = EXIT.failed;
  if (ended.state === 'stopped' && !json) {
    process.stderr.write(`to go on: ${trackers.command('resume', ended.id, tracker)}\n`);
  }
}

function line({ id, image, images, phase, stage, stages, state }: PlanView): string {
  const now = stages[stage - 1];
  if (now === undefined) return `plan ${id}  ${state}`;
  const part = `stage ${stage} of ${stages.length} (${now.name}), batch ${now.batch} of ${now.batches}`;
  const what =
    phase === 'fetch'
      ? `image ${Math.min(image, images.length)} of ${images.length}`
      : phase === 'health'
        ? 'asking whether all is well'
        : phase === 'pause'
          ? 'pausing'
          : 'choosing machines';
  return `plan ${id}  ${state}  ${part}, ${what}; ${now.done} of ${now.machines} machines, ${now.failed} failed`;
}

/** @param tracker where another one may have the same number */
function describe(plan: PlanView, tracker: string | undefined): string {
  const { failures, id, images, name, stages, state, why } = plan;
  const of = images.map(({ digest, image }) => `  ${image}${digest === undefined ? '' : ` ${digest}`}\n`);
  const groups = stages.map(
    (each, index) =>
      `  stage ${index + 1}  ${each.name}  to ${each.nodes}: ${each.done} of ${each.machines} machines, ${each.failed} failed, batch ${each.batch} of ${each.batches}\n`,
  );
  const failed = failures.map(
    ({ error, node }) => `  ${node.slice(0, 8)}: ${error.code}: ${error.message}\n`,
  );
  const reason = why === undefined ? '' : `  ${why.code}: ${why.message}\n`;
  const at = tracker === undefined ? '' : `  at ${tracker}`;
  return `plan ${id}${at}  ${state}  ${name}\n${reason}${of.join('')}${groups.join('')}${failed.join('')}`;
}

async function textOf(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) {
      throw new DamselflyError('CONFIG_INVALID', `${path}: longer than ${MAX_FILE_BYTES} bytes`);
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof DamselflyError) throw error;
    throw new DamselflyError('FILE_FAILED', `${path}: ${describeError(error)}`, {}, { cause: error });
  }
}

function only(plans: readonly PlanView[]): PlanView {
  const [plan] = plans;
  if (plan !== undefined) return plan;
  throw new DamselflyError('UPSTREAM_BROKEN', 'the tracker made no plan');
}
