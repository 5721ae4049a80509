import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, startChild } from '../../bench/fixtures/child.ts';

export interface RunOptions {
  readonly inside?: string | undefined;
}

/** A standard BitTorrent client, run on one torrent in a folder of its own. */
export interface TorrentClient {
  readonly name: string;
  readonly programs: readonly string[];
  /**
   * Downloads into `folder`, and waits for the end. The file there is verified by the client, piece by piece.
   * @param torrent path of a `.torrent` file, or a magnet link
   * @param options.inside network namespace to run in: transmission speaks to one client at an address
   */
  download(
    torrent: string,
    folder: string,
    options?: RunOptions & { readonly trustsAnyTracker?: boolean },
  ): Promise<void>;
  /** Serves what is in `folder`; ready when it has verified it. */
  seed(torrent: string, folder: string, options?: RunOptions): Promise<Child<true>>;
}

const DEADLINE_MS = 90_000;

export const aria2: TorrentClient = {
  name: 'aria2',
  programs: ['aria2c'],
  async download(torrent, folder, { inside, trustsAnyTracker = false } = {}) {
    const child = await startChild({
      ...commandIn(inside, 'aria2c', [
        ...aria2Args(folder),
        '--seed-time=0',
        `--check-certificate=${!trustsAnyTracker}`,
        torrent,
      ]),
      logFile: join(folder, 'aria2.log'),
      ready: (line) => (/Download complete: (?!\[MEMORY\])/.test(line) ? true : undefined),
      deadlineMs: DEADLINE_MS,
    });
    await child.stop();
  },
  seed: (torrent, folder, { inside } = {}) =>
    startChild({
      ...commandIn(inside, 'aria2c', [
        ...aria2Args(folder),
        '--check-integrity=true',
        '--seed-ratio=0.0',
        torrent,
      ]),
      logFile: join(folder, 'aria2.log'),
      ready: (line) => (/Verification finished successfully/.test(line) ? true : undefined),
      deadlineMs: DEADLINE_MS,
    }),
};

function aria2Args(folder: string): readonly string[] {
  return [
    ...[
      '--no-conf',
      `--dir=${folder}`,
      '--listen-port=20000-29999',
      '--enable-dht=false',
      '--enable-dht6=false',
    ],
    ...[
      '--bt-enable-lpd=false',
      '--console-log-level=notice',
      '--summary-interval=0',
      '--enable-color=false',
    ],
  ];
}

export const transmission: TorrentClient = {
  name: 'transmission',
  programs: ['transmission-cli', 'transmission-create'],
  async download(torrent, folder, options) {
    const child = await startTransmission(torrent, folder, options);
    await child.stop();
  },
  seed: startTransmission,
};

/** Runs until it has, and serves, everything. */
async function startTransmission(
  torrent: string,
  folder: string,
  { inside }: RunOptions = {},
): Promise<Child<true>> {
  const config = join(folder, 'transmission');
  await mkdir(config);
  const settings = {
    ...{ 'dht-enabled': false, 'lpd-enabled': false, 'utp-enabled': false, 'pex-enabled': false },
    ...{ 'port-forwarding-enabled': false, 'peer-port-random-on-start': true },
  };
  await writeFile(join(config, 'settings.json'), JSON.stringify(settings));
  return await startChild({
    ...commandIn(inside, 'transmission-cli', [
      '--config-dir',
      config,
      '--download-dir',
      folder,
      '--no-portmap',
      torrent,
    ]),
    logFile: join(folder, 'transmission.log'),
    // It rewrites one line for ever.
    ready: (line) => (/Seeding, uploading/.test(line) ? true : undefined),
    deadlineMs: DEADLINE_MS,
  });
}

function commandIn(namespace: string | undefined, program: string, args: readonly string[]) {
  if (namespace === undefined) return { command: program, args };
  return { command: 'ip', args: ['netns', 'exec', namespace, program, ...args] };
}
