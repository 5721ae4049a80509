import { parseDuration, parseRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { parsePlatform } from '../../lib/oci/platform.ts';
import { parseReference, type Reference } from '../../lib/oci/reference.ts';
import { ALL_PLATFORMS } from '../../lib/origin/resolve-image.ts';
import type { PreheatWishText } from '../../lib/wire/preheat-messages.ts';
import { type BatchSize, type NodeChoice, parseBatchSize, parseNodeChoice } from './node-choice.ts';

const DEFAULT_TIMEOUT_MS = 3_600_000;
export const MAX_TIMEOUT_MS = 24 * 3_600_000;
/** As for the rates of a process: below it a piece takes minutes. */
const MIN_RATE = 64 * 1024;

/** What a job is to do: {@link PreheatWishText}, understood. */
export interface PreheatWish {
  readonly text: PreheatWishText & { readonly nodes: string };
  readonly reference: Reference;
  /** Pattern of the tags that are meant instead of the reference's. */
  readonly tags?: string;
  readonly platforms: readonly string[];
  readonly nodes: NodeChoice;
  readonly batch?: BatchSize;
  /** Between the end of one batch and the next. */
  readonly pauseMs: number;
  /** Of each machine, bytes per second. */
  readonly rate?: number;
  /** Of the whole job. */
  readonly timeoutMs: number;
}

/**
 * @param nodes for whom it is when the text does not say
 * @throws CONFIG_INVALID, REFERENCE_INVALID
 */
export function parseWish(text: PreheatWishText, nodes = 'supernodes'): PreheatWish {
  const { batch, image, pause, platforms = [], rate, tags, timeout } = text;
  const reference = parseReference(image);
  const named = image.includes('@') || image.lastIndexOf(':') > image.lastIndexOf('/');
  if (tags !== undefined && named) {
    throw new DamselflyError(
      'REFERENCE_INVALID',
      'with a pattern of tags, name the repository without a tag',
    );
  }
  for (const platform of platforms) if (platform !== ALL_PLATFORMS) parsePlatform(platform);
  const chosen = text.nodes ?? nodes;
  const perSecond = rate === undefined ? undefined : Math.round(parseRate(rate));
  if (perSecond !== undefined && perSecond < MIN_RATE) throw wrong('rate', rate, 'at least 64KiB/s');
  const timeoutMs = timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(timeout);
  if (timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) throw wrong('timeout', timeout, 'more than 0, up to 24h');
  const pauseMs = pause === undefined ? 0 : parseDuration(pause);
  if (pauseMs > MAX_TIMEOUT_MS) throw wrong('pause', pause, 'up to 24h');
  return {
    text: { ...text, nodes: chosen },
    reference,
    ...(tags === undefined ? {} : { tags }),
    platforms,
    nodes: parseNodeChoice(chosen),
    ...(batch === undefined ? {} : { batch: parseBatchSize(batch) }),
    pauseMs,
    ...(perSecond === undefined ? {} : { rate: perSecond }),
    timeoutMs,
  };
}

/** The same text for the same wish. */
export function wishKey({ text }: PreheatWish): string {
  const { batch, image, nodes, pause, platforms, rate, tags, timeout } = text;
  return JSON.stringify([image, tags, platforms ?? [], nodes, batch, pause, rate, timeout]);
}

function wrong(name: string, got: string | undefined, expected: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `${name}: got ${JSON.stringify(got)}; expected ${expected}`);
}
