import { type Headers, isSendable } from './exchange.ts';

/** Headers that speak of one connection (RFC 9110 section 7.6.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** What a message has to say to the far end. */
export function endToEnd(headers: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const named = String(headers['connection'] ?? '').toLowerCase();
  const ours = new Set([...HOP_BY_HOP, ...named.split(',').map((name) => name.trim())]);
  const kept: Headers = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !ours.has(name) && isSendable(value)) kept[name] = value;
  }
  return kept;
}
