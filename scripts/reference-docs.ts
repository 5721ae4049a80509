import type { Registry } from 'prom-client';
import type { z } from 'zod';
import { upConfig } from '../damselfly/up.ts';
import { daemonConfig } from '../dfget/daemon/config.ts';
import { envName, kebab, metaOf } from '../lib/config/load.ts';
import { UPSTREAM_FIELDS } from '../lib/config/upstream.ts';
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

## Upstreams

The registries that are served, and no others: a request that names one which is not on the list is answered 404, whichever
way it names it (\`?ns=\`, \`X-Dragonfly-Registry\`, the path). On the command line an upstream is \`NAME=URL\`, with or without
\`user:password@\` in the URL; in the file it may be an object of these:

| name | meaning |
|---|---|
${upstreamRows()}

\`\`\`yaml
upstream:
  - name: harbor.corp                # Harbor, replicated, with a robot account
    url: [https://harbor-a.corp, https://harbor-b.corp]
    username: robot$team+puller
    password: secret
    ca: /etc/ssl/corp.pem
  - name: docker.io                  # asked at registry-1.docker.io; library/ is added to names of one part
    url: https://docker.io
    auth-file: /root/.docker/config.json
  - name: 123.dkr.ecr.eu-central-1.amazonaws.com
    url: https://123.dkr.ecr.eu-central-1.amazonaws.com
    credential-helper: ecr-login
    trust: node
  - "*.pkg.dev=https://*"            # every registry of the family
\`\`\`

A pattern fits host names only, never an address or \`localhost\`, and a port only if it has one itself; a name it fits is not
connected to when it leads to this machine or to a link-local address.

Credentials are taken from \`username\` and \`password\`, else from the helper, else from the first file that knows the registry.
They answer Basic and Bearer challenges: by GET, by OAuth2 POST where a token service takes no GET, or with a refresh token
(docker's "identity token"). They are sent to the registry's own addresses, and to a token service of the same host or domain
or one of \`token-hosts\`; elsewhere an anonymous token is asked for. Tokens are kept for each scope until they run out.
Under \`trust: caller\` the credentials of an upstream read bytes for callers that the registry has allowed to read them, and
never decide who may read.

While a registry does not answer, nothing is served that needs its word. With \`--stale-if-error 24h\` a node goes on serving
what a caller was allowed within that time: anonymous callers, the same user with the same password and, under
\`trust: node\`, everybody. Answers then carry a \`Warning\`. What is known for it is kept in memory: after a restart it has to be
learnt anew.

${parts.join('\n')}`;
}

function upstreamRows(): string {
  return Object.entries(UPSTREAM_FIELDS)
    .map(([name, meaning]) => `| \`${name}\` | ${meaning} |`)
    .join('\n');
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
