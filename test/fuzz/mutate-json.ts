import type { Rng } from '../../lib/runtime/rng.ts';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Values at the ends of what parsers take, and of other types than they expect. */
const TELLING: readonly Json[] = [
  ...[null, true, false, 0, -0, -1, 1, 0.5, 1e308, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, 2 ** 40, 1.5],
  ...['', ' ', '0', '-1', 'null', '__proto__', 'constructor', '\u0000', '\r\n', '../..', '\ud800', 'ä'],
  ...['a'.repeat(64), 'A'.repeat(300), 'x'.repeat(2000), [], {}, [[]], { '': 0 }],
];
const telling = (rng: Rng): Json => structuredClone(TELLING[rng.int(TELLING.length)] ?? null);
const MAX_COPIES = 40;
const MAX_LEVELS = 60;

/** Changes one place of the tree: another value, one less, one more, the same again, one level deeper. */
export function mutateJson(rng: Rng, tree: unknown): unknown {
  const places: { readonly holder: Json[] | { [name: string]: Json }; readonly key: number | string }[] = [];
  const root: Json[] = [tree as Json];
  const visit = (holder: Json[] | { [name: string]: Json }): void => {
    for (const key of Object.keys(holder)) {
      const at = Array.isArray(holder) ? Number(key) : key;
      places.push({ holder, key: at });
      const value = (holder as Record<string | number, Json>)[at];
      if (typeof value === 'object' && value !== null) visit(value);
    }
  };
  visit(root);
  const place = places[rng.int(places.length)];
  if (place === undefined) return tree;
  const { key } = place;
  const holder = place.holder as Record<string | number, Json>;
  const value = holder[key] ?? null;
  switch (rng.int(8)) {
    case 0:
    case 1:
      holder[key] = telling(rng);
      break;
    case 2:
      if (Array.isArray(place.holder)) place.holder.splice(Number(key), 1);
      else delete holder[key];
      break;
    case 3: {
      const other = places[rng.int(places.length)];
      holder[key] = structuredClone(
        (other?.holder as Record<string | number, Json>)[other?.key ?? 0] ?? null,
      );
      break;
    }
    case 4:
      if (Array.isArray(value)) {
        const first = value[0] ?? null;
        for (let copies = rng.int(MAX_COPIES); copies > 0; copies--) value.push(structuredClone(first));
      } else holder[key] = [value];
      break;
    case 5: {
      let deep = value;
      for (let levels = rng.int(MAX_LEVELS); levels > 0; levels--) {
        deep = rng.int(2) === 0 ? [deep] : { a: deep };
      }
      holder[key] = deep;
      break;
    }
    case 6:
      if (typeof value === 'string') holder[key] = mutateText(rng, value);
      else if (typeof value === 'number') holder[key] = value + (rng.int(3) - 1) * 2 ** rng.int(54);
      else holder[key] = String(rng.int(1000));
      break;
    default:
      if (Array.isArray(value)) value.push(telling(rng));
      else if (typeof value === 'object' && value !== null) {
        value[`more-${rng.int(4)}`] = telling(rng);
      } else holder[key] = telling(rng);
  }
  return root[0];
}

function mutateText(rng: Rng, text: string): string {
  const at = rng.int(text.length + 1);
  const char = String.fromCharCode(rng.int(4) === 0 ? rng.int(0x1_0000) : rng.int(128));
  return [
    text.slice(0, at),
    text.slice(0, at) + char + text.slice(at + 1),
    text + char,
    text + text,
    text.toUpperCase(),
  ][rng.int(5)] as string;
}
