import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import { formatBytes } from '../lib/config/units.ts';
import type { BlobEvents } from './read-blob.ts';

/** Bars on a terminal, a line a blob elsewhere, JSON events for machines. */
export function createPullProgress(options: {
  readonly json: boolean;
  readonly isTty: boolean;
}): BlobEvents & { stop(): void } {
  if (options.json) return jsonEvents();
  return options.isTty ? bars() : lines();
}

const JSON_STEP_BYTES = 16 * 1024 * 1024;

function jsonEvents(): BlobEvents & { stop(): void } {
  const print = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
  const state = new Map<string, { bytes: number; told: number }>();
  return {
    blobStarted(digest, size) {
      state.set(digest, { bytes: 0, told: 0 });
      print({ event: 'blob', digest, size, bytes: 0 });
    },
    blobAdvanced(digest, bytes) {
      const blob = state.get(digest);
      if (blob === undefined) return;
      blob.bytes += bytes;
      if (blob.bytes - blob.told < JSON_STEP_BYTES) return;
      blob.told = blob.bytes;
      print({ event: 'progress', digest, bytes: blob.bytes });
    },
    blobDone: (digest) => print({ event: 'verified', digest, bytes: state.get(digest)?.bytes ?? 0 }),
    stop() {},
  };
}

function bars(): BlobEvents & { stop(): void } {
  const format = '{digest} [{bar}] {percentage}%  {done} of {all}';
  const multi = new MultiBar({ format, hideCursor: true, stream: process.stderr }, Presets.shades_grey);
  const byDigest = new Map<string, { bar: SingleBar; size: number; bytes: number }>();
  const texts = (bytes: number, size: number) => ({ done: formatBytes(bytes), all: formatBytes(size) });
  return {
    blobStarted(digest, size) {
      const bar = multi.create(Math.max(size, 1), 0, { digest: digest.slice(0, 19), ...texts(0, size) });
      byDigest.set(digest, { bar, size, bytes: 0 });
    },
    blobAdvanced(digest, bytes) {
      const entry = byDigest.get(digest);
      if (entry === undefined) return;
      entry.bytes += bytes;
      entry.bar.update(entry.bytes, texts(entry.bytes, entry.size));
    },
    blobDone(digest) {
      const entry = byDigest.get(digest);
      entry?.bar.update(Math.max(entry.size, 1), texts(entry.size, entry.size));
    },
    stop: () => multi.stop(),
  };
}

function lines(): BlobEvents & { stop(): void } {
  const print = (text: string): void => void process.stderr.write(`${text}\n`);
  const sizes = new Map<string, number>();
  return {
    blobStarted(digest, size) {
      sizes.set(digest, size);
    },
    blobAdvanced() {},
    blobDone: (digest) => print(`verified ${digest.slice(0, 19)}  ${formatBytes(sizes.get(digest) ?? 0)}`),
    stop() {},
  };
}
