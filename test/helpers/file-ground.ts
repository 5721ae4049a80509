import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type CommandResult, run } from '../../bench/fixtures/child.ts';
import { type Ground, startGround } from '../conformance/ground.ts';
import { type FileServer, type ServedFile, startFileServer } from './file-server.ts';

export const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

/** The last event of `dfget URL --json`. */
export interface Done {
  readonly from: string;
  readonly reason: number;
  readonly bytes: number;
  readonly resumed: number;
}

export interface GetResult {
  readonly code: number;
  readonly stdout: string;
  /** Everything that was printed. */
  readonly said: string;
  readonly done: Done;
  /** Where the file was to be written, in an empty folder. */
  readonly output: string;
  readonly place: string;
}

/** A cluster with one node, and a server of files that is its upstream. */
export interface FileGround {
  readonly files: FileServer;
  readonly ground: Ground;
  readonly folder: string;
  /** Serves a file that no other test uses. @returns its path on the server */
  readonly serve: (bytes: Buffer, more?: Partial<ServedFile>) => string;
  /** `dfget URL` of a path on the server. */
  readonly get: (path: string, ...flags: string[]) => Promise<GetResult>;
}

/** Goes away with the test. */
export async function startFileGround(t: Test): Promise<FileGround> {
  const files = await startFileServer();
  t.teardown(() => files.close());
  const ground = await startGround({ upstreams: { [files.host]: files.url } });
  t.teardown(() => ground.close());
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-get-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  let made = 0;
  return {
    ...{ files, ground, folder },
    serve(bytes, more = {}) {
      const path = `/f${++made}/data.bin`;
      files.files.set(path, { bytes, etag: `"${made}"`, ...more });
      return path;
    },
    async get(path, ...flags) {
      const place = await mkdtemp(join(folder, 'to-'));
      const output = join(place, 'file');
      const words = [`${files.url}${path}`, '-o', output, '--socket', ground.socket, '--json', ...flags];
      const ended = await run(DFGET, words);
      const { code, output: said, stdout } = ended;
      return { code, said, stdout, output, place, done: doneOf(ended) };
    },
  };
}

export function doneOf({ stdout }: CommandResult): Done {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Done;
}
