import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../bench/fixtures/child.ts';
import { COMMAND_NAMES } from '../../dfget/cli.ts';
import { NOTED_FLAGS } from '../../dfget/commands/dragonfly-flags.ts';
import { getCommand } from '../../dfget/commands/get.ts';
import { type GetFlags, type GetRequest, readGetFlags } from '../../dfget/commands/get-flags.ts';
import { withGet } from '../../dfget/with-get.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { send } from '../helpers/fault-origin.ts';
import type { ScriptedCase } from './case.ts';

const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const MIB = 1024 * 1024;
const URL_ = 'http://files.test/a/data.bin?x=1';
const MD5 = '0123456789abcdef0123456789abcdef';
const SHA256 = `sha256:${'a'.repeat(64)}`;

/** What a command line asks for. */
async function readWords(words: readonly string[]): Promise<GetRequest> {
  let request: GetRequest | undefined;
  const command = getCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.action((url: string | undefined, flags: GetFlags) => {
    request = readGetFlags(url, flags);
  });
  const [name, ...rest] = withGet(words, COMMAND_NAMES);
  if (name !== 'get') throw new Error(`not taken as a download: ${words.join(' ')}`);
  await command.parseAsync(rest, { from: 'user' });
  if (request === undefined) throw new Error('nothing was asked for');
  return request;
}

interface Expected extends Partial<Omit<GetRequest, 'wanted'>> {
  readonly wanted?: Partial<Record<keyof GetRequest['wanted'], unknown>>;
}

/** Words of Dragonfly's dfget 1, all with `-u URL -o out`, and what they mean. */
const GENERATION_1: readonly (readonly [words: readonly string[], means: Expected])[] = [
  [[], { wanted: { url: new URL(URL_), path: 'out', from: 'swarm' } }],
  [['-m', MD5], { wanted: { checksum: { algorithm: 'md5', hex: MD5 } } }],
  [['--md5', MD5], { wanted: { checksum: { algorithm: 'md5', hex: MD5 } } }],
  [['-i', 'nightly'], { wanted: { identifier: 'identifier=nightly' } }],
  [['--identifier', 'nightly'], { wanted: { identifier: 'identifier=nightly' } }],
  [['-f', 'key&sign'], { wanted: { filtered: ['key', 'sign'] } }],
  [['--filter', 'key&sign'], { wanted: { filtered: ['key', 'sign'] } }],
  [['--header', 'Accept: *', '--header', 'X-A: b:c'], { wanted: { headers: { accept: '*', 'x-a': 'b:c' } } }],
  [['-p', 'p2p'], { wanted: { from: 'swarm' } }],
  [['-p', 'cdn'], { wanted: { from: 'swarm' } }],
  [['-p', 'source'], { wanted: { from: 'source' } }],
  [['--pattern', 'source'], { wanted: { from: 'source' } }],
  [['--notbs'], { wanted: { from: 'swarm-only' } }],
  [['-s', '20M'], { wanted: { rate: 20 * MIB } }],
  [['--locallimit', '20k'], { wanted: { rate: 20 * 1024 } }],
  [['-e', '30'], { timeoutMs: 30_000 }],
  [['--timeout', '30'], { timeoutMs: 30_000 }],
  [['-b'], {}],
  [['--showbar'], {}],
];

/** Words of Dragonfly's dfget 2, all with `URL`, and what they mean. */
const GENERATION_2: readonly (readonly [words: readonly string[], means: Expected])[] = [
  [[], { wanted: { url: new URL(URL_), path: 'data.bin', from: 'swarm' } }],
  [['-O', '/tmp/file.txt'], { wanted: { path: '/tmp/file.txt' } }],
  [['--output', '/tmp/file.txt'], { wanted: { path: '/tmp/file.txt' } }],
  [['--digest', SHA256], { wanted: { checksum: { algorithm: 'sha256', hex: 'a'.repeat(64) } } }],
  [['--digest', 'crc32:12345678'], { wanted: { checksum: { algorithm: 'crc32', hex: '12345678' } } }],
  [['--tag', 'a', '--application', 'b'], { wanted: { identifier: 'tag=a&application=b' } }],
  [['--content-for-calculating-task-id', 'c'], { wanted: { identifier: 'content=c' } }],
  [
    ['--filtered-query-param', 'sign', '--filtered-query-param=key'],
    { wanted: { filtered: ['sign', 'key'] } },
  ],
  [['-H', 'Accept: *', '-H', 'X-A: b'], { wanted: { headers: { accept: '*', 'x-a': 'b' } } }],
  [['-e', '/run/other.sock'], { socket: '/run/other.sock' }],
  [['--endpoint', 'unix:///run/other.sock'], { socket: '/run/other.sock' }],
  [['--timeout', '2h'], { timeoutMs: 7_200_000 }],
  [['-p', '6'], { wanted: { from: 'swarm' } }],
  [['--disable-back-to-source'], { wanted: { from: 'swarm-only' } }],
  [['--no-progress'], {}],
];

/** The flags of Dragonfly's dfget. */
export const flagCases: readonly ScriptedCase[] = [
  {
    number: 76,
    title: 'every flag of dfget 1 means what it meant there',
    async run(t) {
      for (const [words, { wanted, ...more }] of GENERATION_1) {
        const request = await readWords(['-u', URL_, '-o', 'out', ...words]);
        t.match(request, more, words.join(' '));
        t.match(request.wanted, wanted ?? {}, words.join(' '));
      }
    },
  },
  {
    number: 76,
    title: 'every flag of dfget 2 means what it means there',
    async run(t) {
      for (const [words, { wanted, ...more }] of GENERATION_2) {
        for (const line of [
          [URL_, ...words],
          [...words, URL_],
        ]) {
          const request = await readWords(line);
          t.match(request, more, words.join(' '));
          t.match(request.wanted, wanted ?? {}, words.join(' '));
        }
      }
    },
  },
  {
    number: 76,
    title: 'what is no meaning of a flag is refused',
    async run(t) {
      const bad = [
        ['--pattern', 'all'],
        ['-H', 'no colon'],
        ['--digest', 'blake3:00'],
        ['--md5', 'abc'],
        ['--locallimit', 'fast'],
        ['--timeout', 'soon'],
        ['--notbs', '-p', 'source'],
        ['-u', URL_],
      ];
      for (const words of bad) await t.rejects(readWords([URL_, ...words]), words.join(' '));
      await t.rejects(readWords(['-u', 'ftp://files.test/a']));
      await t.rejects(readWords([`${new URL(URL_).origin}/`]), 'no name for the file');
    },
  },
  {
    number: 76,
    title: 'flags that mean nothing here are taken, each with a note',
    async run(t, { registry, ground }) {
      const folder = await mkdtemp(join(tmpdir(), 'damselfly-flags-'));
      t.teardown(() => rm(folder, { recursive: true, force: true }));
      const bytes = randomBytes(10_000);
      registry.script = (request, response) => {
        if (request.url !== '/a/data.bin') return false;
        send(response, 200, bytes, { etag: '"1"' });
        return true;
      };
      const address = `http://${registry.host}/a/data.bin`;
      const output = join(folder, 'out');
      for (const generation of [1, 2] as const) {
        const noted = NOTED_FLAGS.filter((flag) => flag.generation === generation);
        const words = noted.flatMap(({ flags }) => {
          const [name = '', value] = flags.split(' ').slice(flags.startsWith('--') ? 0 : 1);
          return value === undefined ? [name] : [name, '1'];
        });
        const where = generation === 1 ? ['-u', address, '-o', output] : [address, '-O', output, '--console'];
        const socket = generation === 1 ? ['--socket', ground.socket] : ['-e', ground.socket];
        const { code, output: said } = await run(DFGET, [...where, ...socket, ...words]);
        t.equal(code, 0, said);
        t.equal(digestOf(await readFile(output)), digestOf(bytes));
        for (const word of words.filter((each) => each.startsWith('--'))) {
          t.match(said, `${word} has no effect`);
        }
      }
    },
  },
];
