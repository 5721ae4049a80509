import { Command, Option } from 'commander';
import { orFail } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes, formatDuration, formatRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { formatChecksum } from '../file/checksum.ts';
import { closingLine } from '../file/closing-line.ts';
import { type FetchedFile, fetchFile } from '../file/fetch-file.ts';
import { createFileProgress } from '../file/progress.ts';
import { isTorrent } from '../torrent/torrent-source.ts';
import { takeNotedFlags } from './dragonfly-flags.ts';
import { type GetFlags, type GetRequest, readGetFlags } from './get-flags.ts';
import { withDaemon } from './with-daemon.ts';

interface Flags extends GetFlags {
  readonly showbar?: boolean;
  readonly progress: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  dfget https://files.corp/images/disk.qcow2 -o /var/tmp/disk.qcow2
  dfget --digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://files.corp/empty
  dfget -H "Authorization: Bearer TOKEN" https://files.corp/private/model.bin
  dfget --filter "Signature&Expires" "https://bucket.corp/model.bin?Signature=abc&Expires=1"
  dfget -u https://files.corp/model.bin -o model.bin --showbar            as with Dragonfly's dfget 1
  dfget https://files.corp/disk.qcow2.torrent -o disk.qcow2                as "dfget cache fetch"
  dfget "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"

The host is to be an upstream of the daemon and of the supernodes (--upstream files.corp=https://files.corp); of any other, and
without a daemon, the file comes straight from its source, which is said. What is there of a file that was interrupted is
used by the next attempt. Headers are shown to the source alone, and whoever asks for the file has to show it their own.
Flags of Dragonfly's dfget 1 and 2 are taken; docs/CLI.md says what each of them means here.
`;

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** `dfget URL`, `dfget get URL` */
export function getCommand(): Command {
  const command = new Command('get')
    .description('Download a file at a URL through the swarm; "get" may be left out.')
    .argument('[url]', 'of the file, http or https; or a torrent or magnet link')
    .option('-o, --output <file>', 'where to write it (default: the last part of the URL, here)')
    .option('--digest <algorithm:hex>', 'what it has to be: sha256, sha512, sha1, md5 or crc32')
    .option('-H, --header <"name: value">', 'show this to the source; repeatable', collect)
    .option('-f, --filter <names>', 'query parameters that do not tell files apart: "a&b"')
    .option('--filtered-query-param <name>', 'one of them; repeatable', collect)
    .option('-i, --identifier <text>', 'keep it apart from the same file under another identifier')
    .option('-s, --locallimit <rate>', 'write no faster than this, such as 20M')
    .option('--timeout <time>', 'give up after this, such as 2h; a bare number is seconds (default: never)')
    .option('--notbs', 'fail when it cannot come through the swarm')
    .option('-p, --pattern <p2p|cdn|source>', 'source: past the swarm (default: p2p)')
    .option('-b, --showbar', "end with the line of Dragonfly's dfget 1")
    .option('--no-progress', 'no bar on a terminal')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a line: progress events, then the result')
    .addHelpText('after', EXAMPLES);
  const also = (flags: string, meaning: string): Option => new Option(flags, meaning).hideHelp();
  command
    .addOption(also('-u, --url <url>', 'the URL'))
    .addOption(also('-O <file>', '--output'))
    .addOption(also('-m, --md5 <hex>', '--digest md5:HEX'))
    .addOption(also('-e <seconds|path>', '--timeout, or --socket for a path'))
    .addOption(also('--endpoint <path>', '--socket'))
    .addOption(also('--disable-back-to-source', '--notbs'))
    .addOption(also('--tag <text>', 'as --identifier'))
    .addOption(also('--application <text>', 'as --identifier'))
    .addOption(also('--content-for-calculating-task-id <text>', 'as --identifier'));
  takeNotedFlags(command);
  return command.action(async (argument: string | undefined, flags: Flags) => {
    const { json = false } = flags;
    await orFail(json, async () => {
      if (argument !== undefined && isTorrent(argument)) {
        await getTorrent(argument, flags);
        return;
      }
      const request = readGetFlags(argument, flags);
      await withDaemon({ json, socket: request.socket }, async (client, signal) => {
        await get(client, request, flags, signal);
      });
    });
  });
}

/** What BitTorrent clients share is fetched by its own protocol, and stored under its digest. */
async function getTorrent(name: string, { json = false, output, socket }: Flags): Promise<void> {
  const { fetchAndTell } = await import('./cache-torrents.ts');
  const flags = {
    socket: socket ?? DEFAULT_SOCKET,
    json,
    idle: '2m',
    ...(output === undefined ? {} : { output }),
  };
  await withDaemon({ json, socket: flags.socket }, (client, signal) =>
    fetchAndTell(name, flags, client, signal),
  );
}

async function get(
  client: Parameters<Parameters<typeof withDaemon>[1]>[0],
  { timeoutMs, wanted }: GetRequest,
  { json = false, progress: wantsBar, showbar = false }: Flags,
  signal: AbortSignal,
): Promise<void> {
  const clock = createSystemClock();
  const startedMs = clock.now();
  const bar = (wantsBar && process.stderr.isTTY === true) || showbar;
  const progress = createFileProgress(wanted.path, { bar, json });
  const late = new AbortController();
  const cancel = Number.isFinite(timeoutMs) ? clock.after(timeoutMs, () => late.abort()) : () => {};
  // Timers of the clock do not keep the process, and between two attempts nothing else may be waited for.
  const alive = setInterval(() => {}, 60_000);
  const ended = (result: FetchedFile | { readonly error: unknown }): void => {
    progress.stop();
    if (showbar && !json) process.stdout.write(`${closingLine(result, clock.now() - startedMs)}\n`);
  };
  try {
    const fetched = await fetchFile(
      { clock, client },
      wanted,
      progress,
      AbortSignal.any([signal, late.signal]),
    );
    ended(fetched);
    if (json || !showbar) tell(fetched, wanted, clock.now() - startedMs, json);
  } catch (error) {
    ended({ error });
    if (!late.signal.aborted || signal.aborted) throw error;
    const message = `not there after ${formatDuration(timeoutMs)}; what has come is kept for the next attempt`;
    throw new DamselflyError('UPSTREAM_UNREACHABLE', message, { host: wanted.url.host });
  } finally {
    clearInterval(alive);
    cancel();
  }
}

function tell(fetched: FetchedFile, wanted: GetRequest['wanted'], elapsedMs: number, json: boolean): void {
  const { bytes, from, reason, resumed } = fetched;
  const { checksum, path, url } = wanted;
  const seconds = elapsedMs / 1000;
  if (json) {
    // The query may hold a signature.
    const place = `${url.origin}${url.pathname}`;
    const done = { event: 'done', url: place, output: path, bytes, resumed, from, reason, seconds };
    const checked = checksum === undefined ? {} : { digest: formatChecksum(checksum) };
    process.stdout.write(`${JSON.stringify({ ...done, ...checked })}\n`);
    return;
  }
  const rate = formatRate((bytes - resumed) / Math.max(seconds, 0.001));
  const before = resumed === 0 ? '' : `, of it ${formatBytes(resumed)} from before`;
  const what = checksum === undefined ? '' : `, ${checksum.algorithm} as asked for`;
  process.stdout.write(
    `${path}: ${formatBytes(bytes)} from the ${from} in ${formatDuration(elapsedMs)} (${rate})${before}${what}\n`,
  );
}
