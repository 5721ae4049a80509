import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes, formatDuration } from '../../lib/config/units.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { CacheListing, ImportedImage, RemovedBlob } from '../local-protocol.ts';
import { blobsNamed } from '../named-blobs.ts';
import { exportCommand, importCommand } from './cache-archives.ts';
import { fetchCommand, shareCommand, unshareCommand } from './cache-torrents.ts';
import { type DaemonFlags, withDaemon } from './with-daemon.ts';

/** `dfget cache` */
export function cacheCommand(): Command {
  const commands = [
    listCommand(),
    removeCommand(),
    pinCommand('pin', 'Keep blobs: no collection removes them, until "unpin".'),
    pinCommand('unpin', 'Let collections remove blobs again when they have not been used for long.'),
    collectCommand(),
    exportCommand(),
    importCommand(),
    shareCommand(),
    unshareCommand(),
    fetchCommand(),
  ];
  const cache = new Command('cache')
    .description(
      'What the store of this machine holds: look, remove, keep, and carry images to where no registry is.',
    )
    .addHelpText(
      'after',
      `
Blobs are named by digest, by its beginning (sha256:0123ab), or by the image that they belong to.

Examples:
  dfget cache ls
  dfget cache pin harbor.corp/team/app:v1
  dfget cache rm sha256:0123ab
  dfget cache export -o app.tar harbor.corp/team/app:v1
  dfget cache import app.tar
  dfget cache share harbor.corp/team/app:v1
`,
    );
  for (const command of commands) cache.addCommand(withSocket(command));
  return cache;
}

function withSocket(command: Command): Command {
  const socket = process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET;
  return command
    .option('--socket <path>', 'socket of the daemon', socket)
    .option('--json', 'print JSON, one object a line');
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

function listCommand(): Command {
  return new Command('ls')
    .description('Blobs in the store, those used last first, and images that were imported.')
    .addHelpText(
      'after',
      `
Examples:
  dfget cache ls
  dfget cache ls --json

One line a blob: digest, size, when it was used last. "60% here": that much of it; "pinned": it stays until "dfget cache
unpin"; "in containerd's store": only read there. The store does not know of which image a blob is, but for imported ones;
rm, pin and export take images and look that up.
`,
    )
    .action(async (flags: DaemonFlags) =>
      withDaemon(flags, async (client, signal) => {
        const listing = await client.cache(signal);
        print(flags.json === true ? JSON.stringify(listing) : describe(listing));
      }),
    );
}

function describe({ blobs, images }: CacheListing): string {
  const now = Date.now();
  const byUse = [...blobs].sort((a, b) => b.usedAtMs - a.usedAtMs);
  const own = blobs.filter(({ borrowed }) => !borrowed);
  const held = own.reduce((sum, blob) => sum + blob.held, 0);
  return [
    ...byUse.map((blob) => {
      const notes = [
        ...(blob.complete ? [] : [`${Math.floor((100 * blob.held) / Math.max(blob.size, 1))}% here`]),
        ...(blob.pinned ? ['pinned'] : []),
        ...(blob.borrowed ? ["in containerd's store"] : []),
      ];
      const used = `used ${formatDuration(Math.max(0, now - blob.usedAtMs))} ago`;
      return `${blob.digest}  ${formatBytes(blob.size).padStart(10)}  ${[used, ...notes].join(', ')}`;
    }),
    ...images.map(describeImage),
    `${own.length} blobs, ${formatBytes(held)}`,
  ].join('\n');
}

function describeImage({ blobs, digest, image }: ImportedImage): string {
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
  return `imported ${image}  ${digest.slice(0, 19)}  ${blobs.length} blobs, ${formatBytes(bytes)}`;
}

const OUTCOMES: Readonly<Record<RemovedBlob['outcome'], string>> = {
  removed: 'removed',
  unknown: 'is not here',
  'in-use': 'is being read or fetched: try again later',
  borrowed: "is in containerd's store, which is only read",
  shared: 'is shared with BitTorrent clients: "dfget cache unshare" ends that',
  imported: 'belongs to an imported image: remove that by its name',
};

function removeCommand(): Command {
  return new Command('rm')
    .description('Remove blobs from the store, pinned ones too, but none that is being read.')
    .argument('<digest|image...>')
    .addHelpText(
      'after',
      '\nExamples:\n  dfget cache rm sha256:4f2e5c\n  dfget cache rm harbor.corp/team/app:v1\n\nWho pulls it next gets it from other machines or the registry. It fails when some could not be removed, or were not here.\n',
    )
    .action(async (names: readonly string[], flags: DaemonFlags) =>
      withDaemon(flags, async (client, signal) => {
        const listing = await client.cache(signal);
        for (const name of names) {
          const named = await blobsNamed(client, listing, name, signal);
          const outcomes = await client.removeBlobs(named, signal);
          // An image may be here in part, and share blobs with others.
          const gone = ({ outcome }: RemovedBlob): boolean =>
            outcome === 'removed' ||
            (named.digests.length > 1 && (outcome === 'unknown' || outcome === 'imported'));
          if (!outcomes.every(gone) || outcomes.every(({ outcome }) => outcome === 'unknown')) {
            process.exitCode = EXIT.failed;
          }
          if (flags.json === true) print(JSON.stringify({ name, removed: outcomes }));
          else for (const { digest, outcome } of outcomes) print(`${digest}  ${OUTCOMES[outcome]}`);
        }
      }),
    );
}

function pinCommand(action: 'pin' | 'unpin', about: string): Command {
  return new Command(action)
    .description(about)
    .argument('<digest|image...>')
    .addHelpText(
      'after',
      `\nExamples:\n  dfget cache ${action} sha256:4f2e5c\n  dfget cache ${action} harbor.corp/team/app:v1\n\nIt fails when some were not here.\n`,
    )
    .action(async (names: readonly string[], flags: DaemonFlags) =>
      withDaemon(flags, async (client, signal) => {
        const listing = await client.cache(signal);
        for (const name of names) {
          const { digests } = await blobsNamed(client, listing, name, signal);
          const done = await client.setPinned(action, digests, signal);
          if (!Object.values(done).every(Boolean)) process.exitCode = EXIT.failed;
          if (flags.json === true) print(JSON.stringify({ name, [action]: done }));
          else {
            for (const [digest, isHere] of Object.entries(done)) {
              print(`${digest}  ${isHere ? `${action}ned` : 'is not here'}`);
            }
          }
        }
      }),
    );
}

function collectCommand(): Command {
  return new Command('gc')
    .description(
      'Remove at once what the collector would: blobs beyond --store-ttl and above --store-high, none that is pinned or in use.',
    )
    .addHelpText(
      'after',
      `
Examples:
  dfget cache gc

The daemon does it by itself. Below --store-high only what --store-ttl lets go is removed: to have room now, remove blobs
by name (dfget cache rm), or start the daemon with a smaller --store-max.
`,
    )
    .action(async (flags: DaemonFlags) =>
      withDaemon(flags, async (client, signal) => {
        const collected = await client.collect(signal);
        const { freedBytes, removed } = collected;
        print(
          flags.json === true
            ? JSON.stringify(collected)
            : `${removed.length} blobs removed, ${formatBytes(freedBytes)} freed`,
        );
      }),
    );
}
