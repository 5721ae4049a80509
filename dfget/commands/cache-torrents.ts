import { readFile, writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { formatBytes, parseDuration } from '../../lib/config/units.ts';
import { address } from '../../lib/config/values.ts';
import { parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import { ALL_PLATFORMS } from '../../lib/origin/resolve-image.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import type { Share } from '../torrent/share-protocol.ts';
import { type DaemonFlags, withDaemon } from './with-daemon.ts';

interface ShareFlags extends DaemonFlags {
  readonly output?: string;
  readonly passkey?: string;
  readonly platform?: string;
  readonly allPlatforms?: boolean;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** `dfget cache share` */
export function shareCommand(): Command {
  return new Command('share')
    .description(
      'Share a blob, or an image as one archive, with standard BitTorrent clients: writes a .torrent file and prints a magnet link. Without a name: what is shared.',
    )
    .argument('[digest|image]', 'all of it must be in the store')
    .option('-o, --output <file>', 'the .torrent file (default: named after what is shared, in this folder)')
    .option('--platform <os/arch[/variant]>', 'of a multi-platform image (default: this machine)')
    .addOption(
      new Option('--all-platforms', 'the whole index of a multi-platform image').conflicts('platform'),
    )
    .option('--passkey <passkey>', 'of "damselfly token create --bittorrent" (default: one of its own)')
    .addHelpText(
      'after',
      `
Who has the torrent file or the link can read what is shared, without asking the registry, until it is unshared.

Examples:
  dfget cache share harbor.corp/team/app:v1          then, elsewhere: aria2c app-v1.tar.torrent
  dfget cache share -o layer.torrent sha256:0123ab
  dfget cache share                                  what is shared now
`,
    )
    .action(async (name: string | undefined, flags: ShareFlags) =>
      withDaemon(flags, async (client, signal) => {
        if (name === undefined) {
          const shares = await client.shares(signal);
          print(flags.json === true ? JSON.stringify(shares) : describeShares(shares));
          return;
        }
        const { whatToShare } = await import('../torrent/what-to-share.ts');
        const { allPlatforms, json, passkey } = flags;
        const platform = allPlatforms === true ? ALL_PLATFORMS : flags.platform;
        const asked = await whatToShare(client, name, platform, signal);
        const share = await client.share({ ...asked, passkey }, signal);
        const output = flags.output ?? `${share.name}.torrent`;
        await writeSecret(output, Buffer.from(share.torrent, 'base64'));
        if (json === true) return print(JSON.stringify({ ...share, output, warning: readableBy(share) }));
        print(`${share.source}\n${formatBytes(share.size)} as ${share.name}, ${share.digest}`);
        print(`torrent ${output}\n${share.magnet}`);
        process.stderr.write(`${readableBy(share)}\n`);
        if (share.problem !== null) process.stderr.write(`not announced yet: ${share.problem}\n`);
      }),
    );
}

/** The whole right to read it is in the torrent, which the one who shares should know. */
function readableBy({ infoHash, size }: Share): string {
  return (
    `Whoever has this torrent file or link can read all ${formatBytes(size)}, and so can whoever they give it to: the registry ` +
    `is not asked, and bytes go unencrypted. To end it: dfget cache unshare ${infoHash.slice(0, 12)}`
  );
}

/** It holds the passkey. */
async function writeSecret(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes, { mode: 0o600 });
  } catch (error) {
    throw new DamselflyError('FILE_FAILED', `${path} cannot be written: ${describeError(error)}`, { path });
  }
}

function describeShares(shares: readonly Share[]): string {
  if (shares.length === 0) return 'nothing is shared with BitTorrent clients';
  return shares
    .map(({ announced, infoHash, name, problem, sentBytes, size, source }) => {
      const state = problem ?? (announced ? 'announced' : 'not announced yet');
      return `${infoHash}  ${formatBytes(size).padStart(10)}  ${name}  ${formatBytes(sentBytes)} sent, ${state}\n  ${source}`;
    })
    .join('\n');
}

/** `dfget cache unshare` */
export function unshareCommand(): Command {
  return new Command('unshare')
    .description('Share it with BitTorrent clients no more. What they have they keep.')
    .argument('<digest|image|info hash...>', 'as it was shared, or the beginning of the info hash')
    .addHelpText(
      'after',
      '\nExamples:\n  dfget cache unshare 4f7d1c9a20be\n  dfget cache unshare harbor.corp/team/app:v1\n\nExit codes: 0 they are shared no more; 1 some were not shared.\n',
    )
    .action(async (names: readonly string[], flags: DaemonFlags) =>
      withDaemon(flags, async (client, signal) => {
        for (const name of names) {
          const meant = (await client.shares(signal)).filter((share) => isMeant(share, name));
          for (const { infoHash } of meant) await client.unshare(infoHash, signal);
          if (meant.length === 0) process.exitCode = EXIT.failed;
          if (flags.json === true) {
            print(JSON.stringify({ name, unshared: meant.map(({ infoHash }) => infoHash) }));
          } else if (meant.length === 0) print(`${name}  is not shared`);
          for (const { infoHash, source } of flags.json === true ? [] : meant) {
            print(`${infoHash}  is shared no more: ${source}`);
          }
        }
      }),
    );
}

const MIN_PREFIX_CHARS = 6;

function isMeant({ infoHash, source }: Share, name: string): boolean {
  if (/^sha(256|512):[0-9a-f]{6,}$/.test(name)) return source.startsWith(name);
  if (/^[0-9a-f]+$/.test(name)) return name.length >= MIN_PREFIX_CHARS && infoHash.startsWith(name);
  return source === name || source.startsWith(`${name}@`);
}

interface FetchFlags extends DaemonFlags {
  readonly output?: string;
  readonly digest?: string;
  readonly ca?: string;
  readonly listen?: string;
  readonly idle: string;
}

/** `dfget cache fetch` */
export function fetchCommand(): Command {
  return new Command('fetch')
    .description(
      'Fetch a torrent of one file from standard BitTorrent clients into the store, under its SHA-256 digest.',
    )
    .argument('<torrent>', 'a magnet link, a URL or a path of a .torrent file')
    .option('-o, --output <file>', 'write it there as well')
    .option('--digest <sha256:...>', 'what it must be; else it is not kept')
    .option('--ca <file>', "PEM of the authority of the tracker, for another cluster's (its /v1/ca)")
    .option('--listen <host:port>', 'where other clients connect (default: 0.0.0.0, any port)')
    .option('--idle <time>', 'give up when nothing comes for so long', '2m')
    .addHelpText(
      'after',
      `
Examples:
  dfget cache fetch app-v1.tar.torrent
  dfget cache fetch -o app.tar https://other.site/app-v1.tar.torrent     then: dfget cache import app.tar
`,
    )
    .action(async (name: string, flags: FetchFlags) =>
      withDaemon(flags, async (client, signal) => fetchAndTell(name, flags, client, signal)),
    );
}

/**
 * Fetches a torrent and tells of it as `dfget cache fetch` does.
 * @param name magnet link, URL or path of a `.torrent` file
 * @throws what `fetchTorrent` does
 */
export async function fetchAndTell(
  name: string,
  flags: FetchFlags,
  client: Parameters<Parameters<typeof withDaemon>[1]>[0],
  signal: AbortSignal,
): Promise<void> {
  const { ca, digest, idle, json = false, listen, output } = flags;
  const { fetchTorrent } = await import('../torrent/fetch-torrent.ts');
  const isTty = process.stderr.isTTY === true && !json;
  const wanted = {
    ...{ name, output },
    digest: digest === undefined ? undefined : parseDigest(digest),
    authority: ca === undefined ? undefined : await readAuthority(ca),
    listen: listen === undefined ? undefined : listenAt(listen),
    idleMs: idleOf(idle),
  };
  let [size, told] = [0, 0];
  const events = {
    started(file: { readonly name: string; readonly size: number }): void {
      size = file.size;
      if (json) print(JSON.stringify({ event: 'torrent', ...file }));
      else process.stderr.write(`${file.name}, ${formatBytes(file.size)}\n`);
    },
    advanced(bytes: number, clients: number): void {
      if (bytes === told) return;
      told = bytes;
      if (json) print(JSON.stringify({ event: 'progress', bytes, clients }));
      else if (isTty) {
        const part = Math.floor((100 * bytes) / Math.max(size, 1));
        process.stderr.write(`\r${part}%  ${formatBytes(bytes)} from ${clients} clients  `);
      }
    },
  };
  const clock = createSystemClock();
  const done = await fetchTorrent({ clock, client }, wanted, events, signal);
  if (json) return print(JSON.stringify({ event: 'done', ...done, output }));
  if (isTty) process.stderr.write('\n');
  print(`${done.digest}\n${formatBytes(done.size)} verified, ${done.isNew ? '' : 'was '}in the store`);
  if (output !== undefined) print(`in ${output}`);
}

async function readAuthority(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--ca: ${describeError(error)}`);
  }
}

function listenAt(text: string): { host: string; port: number } {
  const parsed = address().safeParse(text);
  if (parsed.success) return parsed.data;
  throw new DamselflyError('CONFIG_INVALID', `--listen: got ${text}; expected host:port`);
}

function idleOf(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--idle: ${(error as Error).message}`);
  }
}
