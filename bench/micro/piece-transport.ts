/**
 * CPU seconds a gigabyte (1e9 bytes) on the receiving side, our piece transport beside undici's `request`:
 *
 *     node bench/micro/piece-transport.ts [--bytes 1GiB] [--json]
 *
 * The server runs in a child process; the two receivers take turns, so that both see the same machine. Neither hashes
 * nor writes: this is what the network path alone costs.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Agent, request as undiciRequest } from 'undici';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { PIECE_PATH } from '../../lib/transfer/http/piece-request.ts';

const MIB = 1024 * 1024;
const PIECE_BYTES = 4 * MIB;
const BLOB_BYTES = 1024 * MIB;
const CONNECTIONS = 4;
const ROUNDS = 3;
const WARM_UP_BYTES = 128 * MIB;
const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: MIB, GiB: 1024 * MIB };
const FROM = 'e'.repeat(40);
const digest = digestOf(Buffer.from('bench'));

type Receive = (start: number, into: Uint8Array) => Promise<void>;
interface Run {
  readonly cpuSecondsPerGB: number;
  readonly megabytesPerSecond: number;
}

async function serve(): Promise<void> {
  const network = createHttpPeerNetwork({ clock: createSystemClock(), log: silentLog() });
  const { address } = await network.listen(
    { host: '127.0.0.1', port: 0 },
    {
      link: (link) => link.close('pieces only'),
      // What the buffer holds is good enough: only the receiver is measured.
      piece: () => ({
        kind: 'serve',
        size: BLOB_BYTES,
        read: async () => {},
        idle: () => {},
        done: () => {},
      }),
    },
  );
  process.stdout.write(`${address.port}\n`);
}

async function measure(receive: Receive, bytes: number): Promise<Run> {
  const pieces = Math.max(CONNECTIONS, Math.round(bytes / PIECE_BYTES));
  let next = 0;
  const startedNs = process.hrtime.bigint();
  const before = process.cpuUsage();
  const receiver = async (): Promise<void> => {
    const into = Buffer.alloc(PIECE_BYTES);
    while (next < pieces) await receive((next++ * PIECE_BYTES) % BLOB_BYTES, into);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, receiver));
  const { user, system } = process.cpuUsage(before);
  const seconds = Number(process.hrtime.bigint() - startedNs) / 1e9;
  const received = pieces * PIECE_BYTES;
  return {
    cpuSecondsPerGB: (user + system) / 1e6 / (received / 1e9),
    megabytesPerSecond: received / 1e6 / seconds,
  };
}

function median(runs: readonly Run[], field: keyof Run): number {
  const sorted = runs.map((run) => run[field]).sort((a, b) => a - b);
  return Number((sorted[sorted.length >> 1] ?? Number.NaN).toFixed(3));
}

async function compare(bytes: number, json: boolean): Promise<void> {
  const child = spawn(process.execPath, [import.meta.filename, '--serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const address = { host: '127.0.0.1', port: Number(line) };
    const network = createHttpPeerNetwork({ clock: createSystemClock(), log: silentLog() });
    const agent = new Agent({ connections: CONNECTIONS });
    const { signal } = new AbortController();
    const receivers: Record<string, Receive> = {
      'piece transport': (start, into) =>
        network.fetch({ address, from: FROM, digest, range: { start, end: start + into.length } }, into, {
          signal,
        }),
      'undici request': async (start, into) => {
        const response = await undiciRequest(`http://${address.host}:${address.port}${PIECE_PATH}${digest}`, {
          dispatcher: agent,
          headers: { range: `bytes=${start}-${start + into.length - 1}`, 'damselfly-node': FROM },
        });
        let at = 0;
        for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
          into.set(chunk, at);
          at += chunk.length;
        }
        if (response.statusCode !== 206 || at !== into.length) {
          throw new Error(`status ${response.statusCode}, ${at} bytes`);
        }
      },
    };
    const runs = new Map<string, Run[]>(Object.keys(receivers).map((name) => [name, []]));
    for (const receive of Object.values(receivers)) await measure(receive, Math.min(bytes, WARM_UP_BYTES));
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, receive] of Object.entries(receivers)) {
        runs.get(name)?.push(await measure(receive, bytes));
      }
    }
    await Promise.all([network.close(), agent.close()]);
    const results = [...runs].map(([name, all]) => ({
      receiver: name,
      cpuSecondsPerGB: median(all, 'cpuSecondsPerGB'),
      megabytesPerSecond: Math.round(median(all, 'megabytesPerSecond')),
    }));
    process.stdout.write(json ? `${JSON.stringify({ bytes, rounds: ROUNDS, results })}\n` : table(results));
  } finally {
    child.kill();
  }
}

function table(results: readonly Readonly<Record<string, string | number>>[]): string {
  const rows = results.map((row) => Object.values(row).map(String));
  const lines = [Object.keys(results[0] ?? {}), ...rows];
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell) => cell.padEnd(18))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

function parseBytes(text: string): number {
  const [, number, unit = ''] = /^(\d+)(KiB|MiB|GiB)?$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (number === undefined || factor === undefined) throw new Error(`not a size: ${text}`);
  return Number(number) * factor;
}

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '1GiB' },
    json: { type: 'boolean', default: false },
    serve: { type: 'boolean' },
  },
});
await (values.serve === true ? serve() : compare(parseBytes(values.bytes), values.json));
