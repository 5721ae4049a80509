import { Presets, SingleBar } from 'cli-progress';
import { formatBytes } from '../../lib/config/units.ts';
import type { FetchEvents } from './fetch-file.ts';

const JSON_STEP_BYTES = 16 * 1024 * 1024;

/** A bar on a terminal, JSON events for machines, else only what its user must know. */
export function createFileProgress(
  file: string,
  { bar, json }: { readonly bar: boolean; readonly json: boolean },
): FetchEvents & { stop(): void } {
  if (json) return jsonEvents(file);
  const direct = (why: string): void => {
    process.stderr.write(`straight from the source, not through the swarm: ${why}\n`);
  };
  return bar ? drawn(file, direct) : { started() {}, advanced() {}, direct, stop() {} };
}

function jsonEvents(file: string): FetchEvents & { stop(): void } {
  const print = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
  let bytes = 0;
  let told = 0;
  return {
    started(size, here) {
      bytes = here;
      told = here;
      print({ event: 'file', output: file, size: size ?? null, bytes });
    },
    advanced(more) {
      bytes += more;
      if (bytes - told < JSON_STEP_BYTES) return;
      told = bytes;
      print({ event: 'progress', output: file, bytes });
    },
    direct: (why) => print({ event: 'direct', why }),
    stop() {},
  };
}

function drawn(file: string, direct: (why: string) => void): FetchEvents & { stop(): void } {
  let shown: SingleBar | undefined;
  let bytes = 0;
  let all = 0;
  const texts = (): object => ({ file, done: formatBytes(bytes), all: formatBytes(all) });
  return {
    started(size, here) {
      shown?.stop();
      bytes = here;
      all = size ?? 0;
      const format =
        size === undefined
          ? '{file}  {done}'
          : '{file} [{bar}] {percentage}%  {done} of {all}  {eta_formatted}';
      shown = new SingleBar(
        { format, hideCursor: true, stream: process.stderr, noTTYOutput: true },
        Presets.shades_grey,
      );
      shown.start(Math.max(all, 1), bytes, texts());
    },
    advanced(more) {
      bytes += more;
      shown?.update(bytes, texts());
    },
    direct,
    stop: () => shown?.stop(),
  };
}
