import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Registry } from 'prom-client';
import t from 'tap';
import { parse } from 'yaml';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { skipReason } from '../helpers/clients/client.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const ALERTS = join(ROOT, 'deploy', 'prometheus', 'alerts.yaml');
const DASHBOARD = join(ROOT, 'deploy', 'grafana', 'damselfly.json');

interface Known {
  readonly type: string;
  readonly labels: ReadonlySet<string>;
}

/** What Prometheus adds to each series. */
const TARGET_LABELS = ['job', 'instance'];

async function knownMetrics(): Promise<ReadonlyMap<string, Known>> {
  const found = new Map<string, Known>();
  const registries: Registry[] = [
    createMetrics({ defaults: false }).registry,
    createTrackerMetrics({ defaults: false }).registry,
  ];
  for (const registry of registries) {
    for (const { name, type } of await registry.getMetricsAsJSON()) {
      const { labelNames = [] } = registry.getSingleMetric(name) as { labelNames?: string[] };
      const labels = new Set([...labelNames, ...TARGET_LABELS]);
      if (String(type) === 'histogram') {
        found.set(`${name}_bucket`, { type: 'bucket', labels: new Set([...labels, 'le']) });
        found.set(`${name}_count`, { type: 'counter', labels });
        found.set(`${name}_sum`, { type: 'counter', labels });
      } else found.set(name, { type: String(type), labels });
    }
  }
  return found;
}

/** What is wrong with the series of a PromQL expression: unknown metrics and labels, a counter without a rate. */
function wrongWith(expression: string, known: ReadonlyMap<string, Known>): string[] {
  const wrong: string[] = [];
  const series = [...expression.matchAll(/(damselfly_\w+)(?:\{([^}]*)\})?(\[[^\]]+\])?/g)];
  if (series.length === 0) wrong.push(`no series of ours in ${expression}`);
  for (const [, name = '', matchers = '', range] of series) {
    const metric = known.get(name);
    if (metric === undefined) {
      wrong.push(`there is no metric ${name}`);
      continue;
    }
    for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
      if (!metric.labels.has(label)) wrong.push(`${name} has no label ${label}`);
    }
    if (metric.type !== 'gauge' && range === undefined) wrong.push(`${name} counts up: take its rate`);
    if (metric.type === 'gauge' && range !== undefined) {
      wrong.push(`${name} goes up and down: it has no rate`);
    }
  }
  const names = series.map(([, name = '']) => known.get(name));
  for (const [, list = ''] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of list.split(',').map((text) => text.trim())) {
      if (!names.some((metric) => metric?.labels.has(label))) wrong.push(`no series has the label ${label}`);
    }
  }
  return wrong;
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly action: string };
}

function alertRules(): Rule[] {
  const { groups } = parse(readFileSync(ALERTS, 'utf8')) as { groups: { rules: Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string }[];
}

function panels(): Panel[] {
  return (JSON.parse(readFileSync(DASHBOARD, 'utf8')) as { panels: Panel[] }).panels;
}

t.test('alert rules name only metrics and labels that exist, and say what to do', async (t) => {
  const known = await knownMetrics();
  const rules = alertRules();
  t.ok(rules.length > 10);
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each has a name of its own');
  for (const { alert, annotations, expr, labels } of rules) {
    t.same(wrongWith(expr, known), [], alert);
    t.ok(annotations.summary.length > 0 && annotations.action.length > 0, `${alert} says what to do`);
    t.ok(['critical', 'warning', 'info'].includes(labels.severity), `${alert} has a severity`);
  }
});

t.test('the dashboard names only metrics and labels that exist, and its panels do not overlap', async (t) => {
  const known = await knownMetrics();
  const all = panels();
  const shown = all.filter(({ type }) => type !== 'row');
  for (const { targets = [], title } of shown) {
    t.ok(targets.length > 0, `${title} asks for something`);
    for (const { expr } of targets) t.same(wrongWith(expr, known), [], `${title}: ${expr}`);
  }
  t.equal(new Set(all.map(({ id }) => id)).size, all.length, 'ids differ');
  const cells = all.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
  );
  t.equal(new Set(cells).size, cells.length, 'no two panels lie on one another');
});

t.test('the metrics that everyone may rely on are all on the dashboard', async (t) => {
  const text = readFileSync(DASHBOARD, 'utf8');
  for (const name of [
    'received_bytes_total',
    'sent_bytes_total',
    'blob_pull_seconds',
    'first_byte_seconds',
    'pull_efficiency_ratio',
    'pieces_rejected_total',
    'peers_banned_total',
    'origin_requests_total',
    'store_bytes',
    'authorization_total',
    'fallback_total',
  ]) {
    t.match(text, `damselfly_${name}`);
  }
});

t.test('the check finds what it is for', async (t) => {
  const known = await knownMetrics();
  t.same(wrongWith('sum(damselfly_lost_total)', known), ['there is no metric damselfly_lost_total']);
  t.same(wrongWith('rate(damselfly_sent_bytes_total{source="x"}[5m])', known), [
    'damselfly_sent_bytes_total has no label source',
  ]);
  t.same(wrongWith('damselfly_sent_bytes_total', known), [
    'damselfly_sent_bytes_total counts up: take its rate',
  ]);
  t.same(wrongWith('sum by (zone) (damselfly_insecure)', known), ['no series has the label zone']);
});

t.test('Prometheus takes the alert rules', { skip: skipReason({ programs: ['promtool'] }) }, async (t) => {
  const { status, stderr, stdout } = spawnSync('promtool', ['check', 'rules', ALERTS], {
    encoding: 'utf8',
  });
  t.equal(status, 0, `${stdout}${stderr}`);
  t.match(stdout, `${alertRules().length} rules found`);
});
