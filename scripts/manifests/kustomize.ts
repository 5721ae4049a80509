import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { CHART, renderChart } from './chart.ts';

const KUSTOMIZE = join(CHART, '..', '..', 'kustomize');
const HEAD = '# Written by `npm run manifests` from deploy/helm/damselfly: change it there.\n';
/** The one template whose kind not every cluster knows. */
const MONITORS = 'service-monitor.yaml';

/** Trackers that watch the API server need rights that a base should not ask for. */
const RIGHTS = 'rbac.yaml';

const ALERTS = 'alerts.yaml';

/** The alerts as the Prometheus operator takes them. */
function prometheusRule(): string {
  const { groups } = parse(readFileSync(join(CHART, '..', '..', 'prometheus', ALERTS), 'utf8')) as {
    groups: object[];
  };
  return stringify(
    {
      ...{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' },
      metadata: { name: 'damselfly', labels: { 'app.kubernetes.io/name': 'damselfly' } },
      spec: { groups },
    },
    { lineWidth: 0 },
  );
}

/** The plain manifests: what the chart gives with its own values, and alerts, by path. */
export function kustomizeFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const [name, text] of renderChart()) files.set(join(KUSTOMIZE, 'base', name), HEAD + text);
  const monitors = renderChart({ serviceMonitor: true }).get(MONITORS) ?? '';
  files.set(join(KUSTOMIZE, 'monitoring', MONITORS), HEAD + monitors);
  files.set(
    join(KUSTOMIZE, 'monitoring', ALERTS),
    `# Written by \`npm run manifests\` from deploy/prometheus: change it there.\n${prometheusRule()}`,
  );
  const rights = renderChart({ tracker: { watchKubernetes: 'annotated' } }).get(RIGHTS) ?? '';
  files.set(join(KUSTOMIZE, 'watch-kubernetes', RIGHTS), HEAD + rights);
  return files;
}
