import { DamselflyError } from '../core/errors.ts';

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

function parseWithUnit(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const name = (match?.[2] ?? '').toLowerCase();
  const unit = Object.hasOwn(units, name) ? units[name] : undefined;
  if (match === null || unit === undefined) {
    throw new DamselflyError('CONFIG_INVALID', `got ${JSON.stringify(text)}; expected ${expected}`);
  }
  return Number(match[1]) * unit;
}

/** `512MiB`, `3g`, `100MB`, `4096` -> whole bytes. MB is a million, MiB and M are 1024 * 1024. @throws CONFIG_INVALID */
export function parseBytes(text: string): number {
  return Math.round(parseWithUnit(text, BYTE_UNITS, 'a size such as 512MiB, 100MB or 4096'));
}

/** `300MiB/s`, `100MB/s`, `800Mbit/s` -> bytes per second. @throws CONFIG_INVALID */
export function parseRate(text: string): number {
  const bits = /^\s*(\d+(?:\.\d+)?)\s*([kmg])bit(?:\/s)?\s*$/i.exec(text);
  if (bits !== null) return (Number(bits[1]) * (BYTE_UNITS[`${bits[2]?.toLowerCase()}b`] ?? 1)) / 8;
  const match = /^(.*?)(?:\/s)?\s*$/i.exec(text);
  return parseWithUnit(match?.[1] ?? '', BYTE_UNITS, 'a rate such as 300MiB/s, 100MB/s or 800Mbit/s');
}

/** `300ms`, `10s`, `2h`, or `0` -> milliseconds. @throws CONFIG_INVALID */
export function parseDuration(text: string): number {
  if (text.trim() === '0') return 0;
  return parseWithUnit(text, TIME_UNITS, 'a duration such as 300ms, 10s or 2h');
}

/** 536870912 -> `512.0 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/** 950 -> `950 ms`, 61000 -> `1 m 1 s` */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} m ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}
