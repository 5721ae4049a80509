import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { formatBytes } from '../../lib/config/units.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import { withDaemon } from './with-daemon.ts';

const HELP = `
Examples:
  dfget status
  dfget status --json

mirror      where container clients are to ask: dfget setup
registries  those that may be asked for
cluster     whose member it is
peers by    who tells it of others: trackers, where all is well
paused      only while "dfget pause" is in force: pulls then go past the swarm
store       what is on disk; "in part" is being fetched, or was given up
neighbours  machines it is connected to now; without a blob to share there are few or none
shared now  blobs that it fetches or has for others; "reading": clients of this machine that wait for it

What is wrong, and what cures it: dfget doctor. What moves now: dfget top. Why a pull was slow: dfget explain IMAGE.
`;

/** `dfget status` */
export function statusCommand(): Command {
  return new Command('status')
    .description('What the daemon of this machine is doing: registries, neighbours, blobs.')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(async ({ json = false, socket }: { json?: boolean; socket: string }) => {
      await withDaemon({ json, socket }, async (client, signal) => {
        const status = await client.status(signal);
        process.stdout.write(json ? `${JSON.stringify(status)}\n` : describe(status));
      });
    });
}

const FOUND_BY = {
  tracker: 'trackers',
  dht: 'the DHT, without a tracker',
  remembered: 'memory: peers that trackers or the DHT named before',
  nobody: 'nobody: neither a tracker nor the DHT answers, blobs come from the registry and known peers',
};

function describe(status: DaemonStatus): string {
  const { blobs, neighbours, store } = status;
  const lines = [
    `node        ${status.id.slice(0, 8)}${status.zone === '' ? '' : ` in zone ${status.zone}`}, peers on ${status.peer}, admin on http://${status.admin}`,
    `mirror      ${status.proxy.map(({ host, port }) => `http://${host}:${port}`).join(', ')}`,
    `registries  ${status.upstreams.join(', ') || 'none: give some with --upstream NAME=URL'}`,
    `cluster     ${status.cluster ?? 'none: insecure, connections are neither encrypted nor authenticated'}`,
    `peers by    ${FOUND_BY[status.discovery.by]}`,
    ...(status.paused.length === 0
      ? []
      : [
          `paused      ${status.paused.join(', ')}: pulls go straight to the registry until "dfget resume${status.pausedHere.length === 0 ? '' : ' --this-node'}"`,
        ]),
    `store       ${store.complete} blobs complete, ${store.blobs - store.complete} in part, ${formatBytes(store.bytes)}`,
    `neighbours  ${neighbours.length}`,
    ...neighbours.map(
      (peer) =>
        `  ${peer.id.slice(0, 8)}  ${peer.role.padEnd(9)}  ${peer.host}:${peer.port}  ${peer.zone}${peer.cannotDialUs === true ? '  (cannot dial this node)' : ''}`,
    ),
    `shared now  ${blobs.length}`,
    ...blobs.map((blob) => {
      const percent = blob.pieces === 0 ? 100 : Math.floor((100 * blob.held) / blob.pieces);
      const readers = blob.readers === 0 ? '' : `, ${blob.readers} reading`;
      return `  ${blob.digest.slice(0, 19)}  ${formatBytes(blob.size).padStart(10)}  ${String(percent).padStart(3)}%${readers}`;
    }),
  ];
  return `${lines.join('\n')}\n`;
}
