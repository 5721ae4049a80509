import { z } from 'zod';
import { parseS3Address, type S3Address } from '../core/s3-address.ts';
import { isZone, MAX_ZONE_CHARS } from '../core/zones.ts';
import { LOG_LEVELS } from '../observe/log.ts';
import { parseBytes, parseDuration, parseRate } from './units.ts';
import { parseZoneRule, type ZoneRule } from './zone-rules.ts';

/** What a setting may look like on the command line, in the environment and in a file: text in, typed value out. */

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  /** File descriptor of a socket that listens there already; nobody writes it down. */
  readonly fd?: number;
}

/** `host:port`, `[v6]:port` or `:port` (every interface). Port 0 picks a free one. */
export const address = () =>
  z.string().transform((text, context): ListenAddress => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})$/.exec(text.trim());
    const port = Number(match?.[2]);
    if (match === null || port > 65_535) {
      return refuse(context, 'host:port, such as 127.0.0.1:65001 (port 0 picks a free one)');
    }
    return { host: (match[1] || '0.0.0.0').replace(/^\[|\]$/g, ''), port };
  });

/** `host` or `host:port`: how others reach this process. */
export const advertised = () =>
  z.string().transform((text, context): { host: string; port?: number } => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text.trim());
    if (match === null) return refuse(context, 'a host name or address, with or without :port');
    const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
    return match[2] === undefined ? { host } : { host, port: Number(match[2]) };
  });

export interface ProxyListener extends ListenAddress {
  /** Upstream of every request on this listener that names none. */
  readonly upstream?: string;
}

/** `[NAME=]host:port` */
export const proxyListener = () =>
  z.string().transform((text, context): ProxyListener => {
    const at = text.indexOf('=');
    const parsed = address().safeParse(text.slice(at + 1));
    if (!parsed.success || at === 0) {
      return refuse(context, '[NAME=]host:port, such as harbor.corp=127.0.0.1:65011');
    }
    return at < 0 ? parsed.data : { ...parsed.data, upstream: text.slice(0, at).trim() };
  });

/** Base URL of a tracker, `ws://`, `wss://`, `http://` or `https://`; returned as ws or wss without a path. */
export const trackerUrl = () =>
  z.string().transform((text, context): string => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^(ws|http)s?:$/.test(url.protocol) || url.hostname === '') {
      return refuse(context, 'a URL, such as ws://tracker.corp:8400');
    }
    return `${url.protocol.replace('http', 'ws')}//${url.host}`;
  });

/** `https://host:port` */
export const httpsUrl = () =>
  z.string().transform((text, context): string => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol !== 'https:' || url.hostname === '') {
      return refuse(context, 'a URL, such as https://tracker.corp:8401');
    }
    return url.origin;
  });

/** Where a Redis or Valkey listens; undefined for `memory`. May hold a password. */
export const redisUrl = () =>
  z.string().transform((text, context): string | undefined => {
    if (text === 'memory') return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol === 'unix:' && url.host === '' && url.pathname.length > 1) return text;
    if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
      return refuse(context, 'memory, or a URL such as redis://redis.corp:6379 or unix:///run/redis.sock');
    }
    return text;
  });

/** `s3://bucket/prefix?endpoint=https://rgw.corp`; undefined for `disk`. */
export const objectStoreUrl = () =>
  z.string().transform((text, context): S3Address | undefined => {
    if (text === 'disk') return undefined;
    const expected = 'disk, or a bucket such as s3://blobs/damselfly?endpoint=https://rgw.corp&region=eu-1';
    return parseS3Address(text) ?? refuse(context, expected);
  });

/** `https://host:port` or `http://host:port` */
export const httpUrl = () =>
  z.string().transform((text, context): string => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') {
      return refuse(context, 'a URL, such as https://tracker.corp:8401');
    }
    return url.origin;
  });

/** `http://collector:4318`, with a path before `/v1/traces` or none. */
export const otlpUrl = () =>
  z.string().transform((text, context): string => {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
      return refuse(context, 'a URL, such as http://collector.corp:4318');
    }
    return `${url.origin}${url.pathname.replace(/\/$/, '')}`;
  });

/** `24h`, `90s`; milliseconds. */
export const duration = () =>
  z
    .union([z.string(), z.number()])
    .transform((value, context) => attempt(context, () => parseDuration(String(value))));

/** Milliseconds; `drop` = 0, `keep` = undefined. */
export const cacheAfterPull = () =>
  z.union([z.string(), z.number()]).transform((value, context): number | undefined => {
    if (value === 'keep') return undefined;
    if (value === 'drop') return 0;
    try {
      return parseDuration(String(value));
    } catch {
      return refuse(context, 'keep, drop, or a duration such as 30m');
    }
  });

export const size = () =>
  z
    .union([z.string(), z.number()])
    .transform((value, context) => attempt(context, () => parseBytes(String(value))));

/** Below this a piece would take minutes, and peers would take us for dead. */
export const MIN_RATE_BYTES_PER_SECOND = 64 * 1024;

/** A rate in bytes per second; `none` = Infinity. */
export const rate = () =>
  z.union([z.string(), z.number()]).transform((value, context): number => {
    if (value === 'none') return Number.POSITIVE_INFINITY;
    const bytesPerSecond = attempt(context, () => parseRate(String(value)));
    if (bytesPerSecond >= MIN_RATE_BYTES_PER_SECOND) return Math.round(bytesPerSecond);
    return refuse(context, 'none, or a rate of at least 64KiB/s, such as 300MiB/s, 100MB/s or 800Mbit/s');
  });

const LEAST_CONNECTIONS = 16;
const MOST_CONNECTIONS = 65_535;

/** How many connections a port may hold: enough for a handful of neighbours, no more than a machine has. */
export const connections = () =>
  z.union([z.string(), z.number()]).transform((value, context): number => {
    const count = /^\d{1,6}$/.test(String(value).trim()) ? Number(value) : 0;
    if (count >= LEAST_CONNECTIONS && count <= MOST_CONNECTIONS) return count;
    return refuse(context, `a whole number from ${LEAST_CONNECTIONS} to ${MOST_CONNECTIONS}`);
  });

/** Bytes per second; 0 means none. */
export const plainRate = () =>
  z
    .union([z.string(), z.number()])
    .transform((value, context) => attempt(context, () => parseRate(String(value))));

/** `90%` or `0.9`: a number above 0 and up to 1. */
export const share = () =>
  z.union([z.string(), z.number()]).transform((value, context): number => {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(String(value).trim());
    const part = Number(match?.[1]) / (match?.[2] === '%' ? 100 : 1);
    return part > 0 && part <= 1 ? part : refuse(context, 'a share above 0 and up to 1, such as 90% or 0.9');
  });

export interface DataDir {
  readonly folder: string;
  /** Share of the blobs, compared with the weights of the others. */
  readonly weight: number;
}

/** `PATH` or `PATH=WEIGHT`; a path that itself ends in = and a number needs its weight written out. */
export const dataDir = () =>
  z.string().transform((text, context): DataDir => {
    const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text);
    const weight = match === null ? 1 : Number(match[2]);
    const folder = match?.[1] ?? text;
    if (folder === '' || weight <= 0) return refuse(context, 'PATH or PATH=WEIGHT, such as /srv/blobs=2');
    return { folder, weight };
  });

export interface Label {
  readonly key: string;
  readonly value: string;
}

/** `pool=gpu`, in the words of Kubernetes: letters, digits and `._/-` between them, at most 64 characters. */
export const label = () =>
  z.string().transform((text, context): Label => {
    const word = '[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,62}[A-Za-z0-9])?';
    const match = new RegExp(`^(${word})=(${word})?$`).exec(text);
    if (match === null) return refuse(context, 'KEY=VALUE, such as pool=gpu');
    return { key: match[1] ?? '', value: match[2] ?? '' };
  });

export const logLevel = () => z.enum(LOG_LEVELS);

/** true, false; as a flag without a value: true. */
export const toggle = () =>
  z.union([z.boolean(), z.string()]).transform((value, context): boolean => {
    if (typeof value === 'boolean') return value;
    if (/^(true|1|yes)$/i.test(value)) return true;
    if (/^(false|0|no)$/i.test(value)) return false;
    return refuse(context, 'true or false');
  });

/** `eu/fra`: a path, from the whole to the part. */
export const zoneName = () =>
  z.string().transform((text, context): string => {
    if (isZone(text)) return text;
    const chars = `at most ${MAX_ZONE_CHARS} letters, digits, dots, dashes, underscores, and / between its parts`;
    return refuse(context, `a zone such as eu/fra of ${chars}`);
  });

/** `10.1.0.0/16=eu/fra` */
export const zoneRule = () =>
  z
    .string()
    .transform(
      (text, context): ZoneRule =>
        parseZoneRule(text) ?? refuse(context, 'CIDR=ZONE, such as 10.1.0.0/16=eu/fra'),
    );

/** Refuses a value: the message goes on with what it may be. */
export function refuse(context: z.RefinementCtx, expected: string): never {
  context.addIssue({ code: 'custom', message: `expected ${expected}` });
  return z.NEVER;
}

function attempt(context: z.RefinementCtx, parse: () => number): number {
  try {
    return parse();
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message.replace(/^got .*?; /, '') });
    return z.NEVER;
  }
}
