import { basename } from 'node:path';
import { parseDuration, parseRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { isHttp } from '../../lib/origin/upstream.ts';
import { parseChecksum } from '../file/checksum.ts';
import type { WantedFile } from '../file/fetch-file.ts';
import { note } from './dragonfly-flags.ts';

/** Flags of `dfget URL` as commander gives them. */
export interface GetFlags {
  readonly url?: string;
  readonly output?: string;
  readonly O?: string;
  readonly md5?: string;
  readonly digest?: string;
  readonly identifier?: string;
  readonly tag?: string;
  readonly application?: string;
  readonly contentForCalculatingTaskId?: string;
  readonly filter?: string;
  readonly filteredQueryParam?: readonly string[];
  readonly header?: readonly string[];
  readonly pattern?: string;
  readonly notbs?: boolean;
  readonly disableBackToSource?: boolean;
  readonly locallimit?: string;
  readonly timeout?: string;
  readonly e?: string;
  readonly endpoint?: string;
  readonly socket: string;
}

export interface GetRequest {
  readonly wanted: WantedFile;
  readonly socket: string;
  /** Infinity: as long as it takes. */
  readonly timeoutMs: number;
}

const PATTERNS = ['p2p', 'cdn', 'source'];

/**
 * What the flags mean, in the words of Dragonfly's dfget 1, 2 or our own. `-p` and `-e` have another meaning in 1 than in 2:
 * what they are given tells which.
 * @throws CONFIG_INVALID, DIGEST_INVALID
 */
export function readGetFlags(argument: string | undefined, flags: GetFlags): GetRequest {
  const url = readUrl(argument, flags.url);
  const headers = { ...userOf(url), ...readHeaders(flags.header ?? []) };
  url.username = '';
  url.password = '';
  url.hash = '';
  const pattern = readPattern(flags);
  const only = flags.notbs === true || flags.disableBackToSource === true;
  if (only && pattern === 'source') throw wrong('--notbs', 'not with --pattern source');
  const digest = flags.digest ?? (flags.md5 === undefined ? undefined : `md5:${flags.md5}`);
  const isTime = flags.e !== undefined && /^\d+\s*[a-z]*$/i.test(flags.e);
  return {
    wanted: {
      ...{ url, headers, path: outputOf(url, flags.output ?? flags.O) },
      filtered: [...(flags.filter?.split('&') ?? []), ...(flags.filteredQueryParam ?? [])],
      identifier: identifierOf(flags),
      checksum: digest === undefined ? undefined : parseChecksum(digest),
      rate: flags.locallimit === undefined ? Number.POSITIVE_INFINITY : parseRate(flags.locallimit),
      from: pattern === 'source' ? 'source' : only ? 'swarm-only' : 'swarm',
    },
    socket: (flags.endpoint ?? (isTime ? undefined : flags.e) ?? flags.socket).replace(/^unix:(?:\/\/)?/, ''),
    timeoutMs: readTimeout(flags.timeout ?? (isTime ? flags.e : undefined)),
  };
}

function readUrl(argument: string | undefined, flag: string | undefined): URL {
  if (argument !== undefined && flag !== undefined) throw wrong('--url', 'the URL is given twice');
  const url = URL.parse(argument ?? flag ?? '');
  if (url !== null && isHttp(url)) return url;
  throw wrong('the URL', 'expected one that begins with http:// or https://');
}

/** The user in a URL, as a header. */
function userOf({ password, username }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const user = [username, password].map(decoded).join(':');
  return { authorization: `Basic ${Buffer.from(user).toString('base64')}` };
}

function readHeaders(lines: readonly string[]): Record<string, string> {
  const entries = lines.map((line) => {
    const colon = line.indexOf(':');
    if (colon < 1) throw wrong('--header', 'expected "Name: value"');
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  return Object.fromEntries(entries);
}

function readPattern({ pattern = 'p2p' }: GetFlags): string {
  if (/^\d+$/.test(pattern)) {
    note('-p', 'a number is the priority of dfget 2, and what somebody waits for comes first');
    return 'p2p';
  }
  if (!PATTERNS.includes(pattern)) throw wrong('--pattern', `expected ${PATTERNS.join(', ')}`);
  if (pattern === 'cdn') note('--pattern cdn', 'supernodes and nodes are asked alike');
  return pattern;
}

/** Seconds without a unit, as dfget 1 has them, or a duration. 0: no limit. */
function readTimeout(text = '0'): number {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : parseDuration(text);
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

function identifierOf(flags: GetFlags): string {
  const { application, contentForCalculatingTaskId: content, identifier, tag } = flags;
  const given = Object.entries({ identifier, tag, application, content }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
  );
  return new URLSearchParams(given).toString();
}

function outputOf(url: URL, output: string | undefined): string {
  const name = output ?? safeName(url);
  if (name !== '') return name;
  throw wrong('--output', 'the URL does not end in the name of a file: give one');
}

function safeName({ pathname }: URL): string {
  const name = decoded(basename(pathname));
  return /[/\\\0]/.test(name) || name === '.' || name === '..' ? '' : name;
}

/** What is no escape stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function wrong(what: string, why: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `${what}: ${why}`);
}
