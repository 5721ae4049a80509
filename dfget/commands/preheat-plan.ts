import { readFile, stat } from 'node:fs/promises';
import { DamselflyError, describeError, hasCode } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { PlanView } from '../../lib/wire/plan-messages.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { followPlan } from '../follow-jobs.ts';
import { readPlanFile } from '../plan-file.ts';

/** A plan of fifty stages with twenty images is a few KiB. */
const MAX_FILE_BYTES = 256 * 1024;

interface PlanFlags {
  readonly json?: boolean;
  readonly detach?: boolean;
}

/** `dfget preheat --plan FILE`: hands the plan to a tracker and follows it until it is over or stopped. */
export async function rollOut(
  client: DaemonClient,
  path: string,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const file = readPlanFile(await textOf(path), path);
  const { plans, tracker } = await client
    .plans({ act: 'create', plan: file.plan }, undefined, signal)
    .catch((error: unknown) => {
      throw file.located(error);
    });
  await follow(client, { plan: only(plans), tracker }, flags, signal);
}

/** `dfget preheat --resume N` */
export async function resumePlan(
  client: DaemonClient,
  id: number,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const { plans, tracker } = await client.plans({ act: 'resume', id }, undefined, signal);
  await follow(client, { plan: only(plans), tracker }, flags, signal);
}

/** `dfget preheat --stop N` */
export async function stopPlan(
  client: DaemonClient,
  id: number,
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  printPlans((await client.plans({ act: 'stop', id }, undefined, signal)).plans, flags);
}

/** The newest plans; none of a tracker of an earlier version, which does not answer. */
export async function listPlans(client: DaemonClient, signal: AbortSignal): Promise<readonly PlanView[]> {
  try {
    return (await client.plans({ act: 'list' }, undefined, signal)).plans;
  } catch (error) {
    if (hasCode(error, 'TRACKER_UNREACHABLE')) return [];
    throw error;
  }
}

export function printPlans(plans: readonly PlanView[], { json }: PlanFlags): void {
  for (const plan of plans) {
    process.stdout.write(json === true ? `${JSON.stringify({ event: 'plan', ...plan })}\n` : describe(plan));
  }
}

async function follow(
  client: DaemonClient,
  from: { readonly plan: PlanView; readonly tracker: string },
  flags: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const { detach, json = false } = flags;
  if (detach === true) {
    printPlans([from.plan], flags);
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
  let ended: PlanView;
  try {
    ended = await followPlan(client, from, show, signal);
  } catch (error) {
    const { id } = from.plan;
    if (!json) process.stderr.write(`the tracker goes on with plan ${id}; see dfget preheat --list\n`);
    throw error;
  }
  printPlans([ended], flags);
  if (ended.state !== 'succeeded') process.exitCode = EXIT.failed;
  if (ended.state === 'stopped' && !json) {
    process.stderr.write(`to go on: dfget preheat --resume ${ended.id}\n`);
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

function describe(plan: PlanView): string {
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
  return `plan ${id}  ${state}  ${name}\n${reason}${of.join('')}${groups.join('')}${failed.join('')}`;
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
