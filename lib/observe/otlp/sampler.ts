import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import { DamselflyError } from '../../core/errors.ts';

/**
 * Which traces are recorded, by OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.
 * @throws CONFIG_INVALID
 */
export function samplerOf(env: Readonly<Record<string, string | undefined>>): Sampler {
  const name = env['OTEL_TRACES_SAMPLER'] || 'parentbased_always_on';
  const plain = name.replace(/^parentbased_/, '');
  const root = rootSampler(plain, env['OTEL_TRACES_SAMPLER_ARG']);
  if (root === undefined) {
    const known = 'always_on, always_off, traceidratio, or one of these with parentbased_ before it';
    throw new DamselflyError('CONFIG_INVALID', `OTEL_TRACES_SAMPLER=${name}: expected ${known}`);
  }
  return plain === name ? root : new ParentBasedSampler({ root });
}

function rootSampler(name: string, argument: string | undefined): Sampler | undefined {
  switch (name) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratioOf(argument));
    default:
      return undefined;
  }
}

function ratioOf(argument = '1'): number {
  const ratio = Number(argument || '1');
  if (ratio >= 0 && ratio <= 1) return ratio;
  const message = `OTEL_TRACES_SAMPLER_ARG=${argument}: expected a number from 0 to 1`;
  throw new DamselflyError('CONFIG_INVALID', message);
}
