import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { renderTemplate } from './go-template.ts';

export const CHART = join(import.meta.dirname, '..', '..', 'deploy', 'helm', 'damselfly');

/** Where docs/KUBERNETES.md installs it, and what the plain manifests say. */
export const NAMESPACE = 'damselfly';

/** Values of a chart; those given win over its own, lists as a whole. */
export type Values = Readonly<Record<string, unknown>>;

/** What each template of the chart becomes, by the name of its file; those that come out empty are left out. */
export function renderChart(given: Values = {}): Map<string, string> {
  const own = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Values;
  const data = { Values: merged(own, given), Release: { Namespace: NAMESPACE } };
  const rendered = new Map<string, string>();
  for (const name of readdirSync(join(CHART, 'templates')).sort()) {
    const text = renderTemplate(readFileSync(join(CHART, 'templates', name), 'utf8'), data);
    if (text.trim() !== '') rendered.set(name, `${text.trim()}\n`);
  }
  return rendered;
}

/** @throws Error when the chart does not know a value that is given: it would change nothing */
function merged(own: Values, given: Values, path = ''): Values {
  const result: Record<string, unknown> = { ...own };
  for (const [key, value] of Object.entries(given)) {
    const before = own[key];
    if (before === undefined) throw new Error(`values.yaml has no ${path}${key}`);
    const open = isObject(before) && Object.keys(before).length > 0 && isObject(value);
    result[key] = open ? merged(before, value, `${path}${key}.`) : value;
  }
  return result;
}

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
