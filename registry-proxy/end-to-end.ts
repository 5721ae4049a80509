import { HOP_BY_HOP } from '../lib/core/hop-by-hop.ts';
import { type Headers, isSendable } from './exchange.ts';

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
