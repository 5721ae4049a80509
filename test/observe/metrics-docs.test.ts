import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Registry } from 'prom-client';
import t from 'tap';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'METRICS.md'), 'utf8');

/** The rows of the table under that heading: `name type labels`. */
function documented(heading: string): string[] {
  const [, section = ''] = PAGE.split(`\n## ${heading}\n`);
  const [table = ''] = section.split('\n## ');
  return [...table.matchAll(/^\| `(damselfly_\w+)` \| (\w+) \| ([^|]*) \| .+ \|$/gm)].map(
    ([, name = '', type = '', labels = '']) => `${name} ${type} ${labels.replaceAll('`', '').trim()}`,
  );
}

async function declared(registry: Registry): Promise<string[]> {
  const all = await registry.getMetricsAsJSON();
  return all.map(({ name, type }) => {
    const { labelNames = [] } = registry.getSingleMetric(name) as { labelNames?: string[] };
    return `${name} ${String(type)} ${labelNames.filter((label) => label !== 'le').join(', ')}`;
  });
}

t.test('docs/METRICS.md has every metric with its type and labels, and no other', async (t) => {
  const node = await declared(createMetrics({ defaults: false }).registry);
  const tracker = await declared(createTrackerMetrics({ defaults: false }).registry);
  t.ok(node.length > 30 && tracker.length > 10);
  t.same(documented('Node daemon and supernode').sort(), node.sort());
  t.same(documented('Tracker').sort(), tracker.sort());
});
