import type { Registry } from 'prom-client';
import type { z } from 'zod';
import { upConfig } from '../damselfly/up.ts';
import { daemonConfig } from '../dfget/daemon/config.ts';
import { envName, kebab, metaOf } from '../lib/config/load.ts';
import { ERROR_CODES } from '../lib/core/errors.ts';
import { createMetrics } from '../lib/observe/metrics.ts';
import { supernodeConfig } from '../supernode/config.ts';
import { trackerConfig } from '../tracker/config.ts';
import { createTrackerMetrics } from '../tracker/metrics.ts';

/** The pages under docs/ that are written from the code itself, by file name. A test holds them equal to it. */
export async function referenceDocs(): Promise<Record<string, string>> {
  return { 'ERRORS.md': errors(), 'CONFIGURATION.md': configuration(), 'METRICS.md': await metrics() };
}

const NOTE = '<!-- Written by `npm run docs` from the code: change it there. -->';

function errors(): string {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { meaning, status }]) => `| \`${code}\` | ${status} | ${meaning} |`,
  );
  return `# Errors

${NOTE}

Every error that Damselfly makes has a stable code. Commands print \`CODE: message\`, with \`--json\`
\`{"error":{"code","message","facts"}}\`; the daemon's socket answers \`{code, message, facts}\` with the status below. The registry
proxy answers in the registry's own form, \`{"errors":[{"code","message"}]}\`.

| code | HTTP status | meaning |
|---|---|---|
${rows.join('\n')}

Exit codes of every command: 0 done, 1 failed, 2 the command or its settings were wrong, 130 interrupted.
`;
}

function configuration(): string {
  const processes = [
    ['damselfly up', '/etc/damselfly/up.yaml', upConfig],
    ['damselfly tracker', '/etc/damselfly/tracker.yaml', trackerConfig],
    ['damselfly supernode', '/etc/damselfly/supernode.yaml', supernodeConfig],
    ['dfget daemon', '/etc/damselfly/daemon.yaml', daemonConfig],
  ] as const;
  const parts = processes.map(
    ([name, file, schema]) => `## ${name}\n\nFile: \`${file}\`\n\n${settingsTable(schema)}\n`,
  );
  return `# Configuration

${NOTE}

Each process takes its settings from flags, environment variables and a YAML file; a flag wins over the environment, the
environment over the file, the file over the default. In the file a setting has the name of its flag without the dashes. A
wrong value is refused at start, with the setting, the value and what it may be. \`--config FILE\` names another file.

\`\`\`yaml
# /etc/damselfly/daemon.yaml
tracker: [ws://tracker.corp:8400]
upstream:
  - harbor.corp=https://harbor.corp
  - { name: quay.io, url: https://quay.io, username: robot, password: secret, ca: /etc/ssl/quay.pem }
zone: eu-1
\`\`\`

${parts.join('\n')}`;
}

function settingsTable(schema: z.ZodObject<Record<string, z.ZodType>>): string {
  const rows = Object.entries(schema.shape).map(([key, field]) => {
    const { argument = '', help } = metaOf(field);
    const flag = `--${kebab(key)}`;
    return `| \`${`${flag} ${argument}`.trim().replaceAll('|', '\\|')}\` | \`${envName(key)}\` | ${portable(help)} |`;
  });
  return `| flag | environment | meaning |\n|---|---|---|\n${rows.join('\n')}`;
}

/** Defaults that depend on who runs the command are shown as root sees them. */
function portable(help: string): string {
  return help
    .replace(
      /\(default: \/(root|home)[^)]*\/\.local\/share\/damselfly\/damselfly\.sock\)/,
      '(default: /run/damselfly.sock)',
    )
    .replace(/\(default: \/(root|home)[^)]*\/\.local\/share\/damselfly/, '(default: /var/lib/damselfly');
}

async function metrics(): Promise<string> {
  const ours = createMetrics({ defaults: false });
  const tracker = createTrackerMetrics({ defaults: false });
  return `# Metrics

${NOTE}

Prometheus text on \`/metrics\` of the admin address (the tracker: of its control address), besides the usual \`process_*\` and
\`nodejs_*\`.

## Node daemon and supernode

${await metricsTable(ours.registry)}

## Tracker

${await metricsTable(tracker.registry)}
`;
}

async function metricsTable(registry: Registry): Promise<string> {
  const all = await registry.getMetricsAsJSON();
  const rows = all.map(({ help, name, type }) => {
    const labels =
      (registry.getSingleMetric(name) as { labelNames?: string[] } | undefined)?.labelNames ?? [];
    const shown = labels.filter((label) => label !== 'le').map((label) => `\`${label}\``);
    return `| \`${name}\` | ${String(type)} | ${shown.join(', ')} | ${help} |`;
  });
  return `| name | type | labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}`;
}
