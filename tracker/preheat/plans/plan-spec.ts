import { parseDuration } from '../../../lib/config/units.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import type { PlanText } from '../../../lib/wire/plan-messages.ts';
import { type BatchSize, type NodeChoice, parseBatchSize, parseNodeChoice } from '../node-choice.ts';
import { MAX_TIMEOUT_MS, parseWish } from '../wish.ts';

/** One group of machines, as the plan means it. */
export interface StageSpec {
  readonly name: string;
  readonly nodes: NodeChoice;
  readonly batch?: BatchSize;
  /** After each of its batches. */
  readonly pauseMs: number;
}

/** What a plan is to do: {@link PlanText}, understood. */
export interface PlanSpec {
  readonly text: PlanText;
  readonly name: string;
  readonly stages: readonly StageSpec[];
  /** Machines of a batch that may fail. */
  readonly mayFail: BatchSize | undefined;
  readonly health: URL | undefined;
}

/** @throws CONFIG_INVALID, REFERENCE_INVALID; the message begins with the path of what is wrong: `stages[1].nodes: …` */
export function parsePlan(text: PlanText): PlanSpec {
  const { gate, images, name, platforms, rate, stages, timeout } = text;
  for (const [index, image] of images.entries()) {
    at(`images[${index}]`, () => parseWish({ image, nodes: 'all' }));
    const again = images.indexOf(image) < index;
    if (again) throw wrong(`images[${index}]`, `${image} is there twice`);
  }
  const [first = ''] = images;
  at('platforms', () => parseWish({ image: first, platforms, nodes: 'all' }));
  at('rate', () => parseWish({ image: first, rate, nodes: 'all' }));
  at('timeout', () => parseWish({ image: first, timeout, nodes: 'all' }));
  return {
    text,
    name: name ?? first.slice(first.lastIndexOf('/') + 1),
    stages: stages.map((stage, index) => {
      const path = `stages[${index}]`;
      const { batch, nodes, pause } = stage;
      const pauseMs = pause === undefined ? 0 : at(`${path}.pause`, () => parseDuration(pause));
      if (pauseMs > MAX_TIMEOUT_MS) throw wrong(`${path}.pause`, 'expected up to 24h');
      return {
        name: stage.name ?? nodes,
        nodes: at(`${path}.nodes`, () => chosen(nodes)),
        ...(batch === undefined ? {} : { batch: at(`${path}.batch`, () => parseBatchSize(batch)) }),
        pauseMs,
      };
    }),
    mayFail: at('gate.failed', () => parseMayFail(gate?.failed)),
    health: at('gate.health', () => parseHealth(gate?.health)),
  };
}

/** How many of so many machines may fail. */
export function allowedFailures(mayFail: BatchSize | undefined, machines: number): number {
  if (mayFail === undefined) return 0;
  return 'count' in mayFail ? mayFail.count : Math.floor(mayFail.share * machines);
}

function chosen(text: string): NodeChoice {
  const nodes = parseNodeChoice(text);
  if (nodes.kind !== 'plan') return nodes;
  throw wrong('', 'only the batches of a plan are chosen like that');
}

function parseMayFail(text: string | undefined): BatchSize | undefined {
  return text === undefined || /^0+(\.0+)?%?$/.test(text) ? undefined : parseBatchSize(text);
}

function parseHealth(text: string | undefined): URL | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url !== undefined && url.username === '' && url.password === '';
  if (plain && /^https?:$/.test(url.protocol)) return url;
  throw wrong('', 'expected a URL with http or https, without a password');
}

/** What goes wrong within is told with the place in the plan. */
function at<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    throw new DamselflyError(error.code, `${path}: ${error.message}`, error.facts, { cause: error });
  }
}

function wrong(path: string, message: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', path === '' ? message : `${path}: ${message}`);
}
