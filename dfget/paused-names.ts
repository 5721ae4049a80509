import { DamselflyError } from '../lib/core/errors.ts';
import { MAX_PAUSED, MAX_UPSTREAM_CHARS } from '../lib/wire/control-messages.ts';

/** Stands for every upstream. */
export const ALL = 'all';

export type PauseAction = 'pause' | 'resume';

/**
 * What is paused after one more command; resuming `all` resumes everything.
 * @throws CONFIG_INVALID when everything is paused and only one is to go on, and for what no tracker would take
 */
export function switched(names: readonly string[], action: PauseAction, name: string): readonly string[] {
  if (name === ALL) return action === 'pause' ? [ALL] : [];
  const others = names.filter((each) => each !== name);
  if (action === 'resume') {
    if (!names.includes(ALL)) return others;
    const message = `everything is paused: resume all, then pause the upstreams other than ${name}`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  if (name === '' || name.length > MAX_UPSTREAM_CHARS || others.length >= MAX_PAUSED) {
    const message = `at most ${MAX_PAUSED} names of 1 to ${MAX_UPSTREAM_CHARS} characters can be paused; pause all`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  return [...others, name];
}
