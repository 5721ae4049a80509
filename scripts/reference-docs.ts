import type { Registry } from 'prom-client';
import type { z } from 'zod';
import { upConfig } from '../damselfly/up-config.ts';
import { daemonConfig } from '../dfget/daemon/config.ts';
import { liveDaemonSettings } from '../dfget/daemon/settings.ts';
import { envName, kebab, metaOf } from '../lib/config/load.ts';
import { UPSTREAM_FIELDS } from '../lib/config/upstream.ts';
import { ERROR_CODES } from '../lib/core/errors.ts';
import { createMetrics } from '../lib/observe/metrics.ts';
import { FakeClock } from '../lib/runtime/fake-clock.ts';
import { createBufferPool } from '../lib/transfer/buffer-pool.ts';
import { Limits } from '../lib/transfer/limits.ts';
import { liveHostSettings } from '../lib/transfer/live-host-settings.ts';
import { supernodeConfig } from '../supernode/config.ts';
import { trackerConfig } from '../tracker/config.ts';
import { createTrackerMetrics } from '../tracker/metrics.ts';
import { commandLine, NOTE } from './command-line-docs.ts';

/** The pages under docs/ that are written from the code itself, by file name. A test holds them equal to it. */
export async function referenceDocs(): Promise<Record<string, string>> {
  return {
    'CLI.md': await commandLine(),
    'ERRORS.md': errors(),
    'CONFIGURATION.md': configuration(),
    'METRICS.md': await metrics(),
  };
}

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
  // Of the tables only the names are of interest here.
  const untouched = { limits: new Limits(new FakeClock()), pool: createBufferPool({ budgetBytes: 0 }) };
  const log = { level: 'info' };
  const processes = [
    ['damselfly up', '/etc/damselfly/up.yaml', upConfig, {}],
    ['damselfly tracker', '/etc/damselfly/tracker.yaml', trackerConfig, {}],
    [
      'damselfly supernode',
      '/etc/damselfly/supernode.yaml',
      supernodeConfig,
      liveHostSettings(untouched, log),
    ],
    ['dfget daemon', '/etc/damselfly/daemon.yaml', daemonConfig, liveDaemonSettings(untouched, log)],
  ] as const;
  const parts = processes.map(
    ([name, file, schema, live]) => `## ${name}\n\nFile: \`${file}\`\n\n${settingsTable(schema, live)}\n`,
  );
  return `# Configuration

${NOTE}

Each process takes its settings from flags, environment variables and a YAML file; a flag wins over the environment, the
environment over the file, the file over the default. In the file a setting has the name of its flag without the dashes. A
wrong value is refused at start, with the setting, the value and what it may be. \`--config FILE\` names another file. Those
marked *live* also [change while the process runs](#while-processes-run).

\`damselfly config check daemon\` (or supernode, tracker, up) says whether a process would start with its settings, the files that they
name among them, and starts nothing; \`damselfly config print daemon\` prints the settings that count and where each was found, without
secrets. Both take \`--config FILE\`, \`--json\`, and after \`--\` the flags that the process is given:

\`\`\`sh
damselfly config check daemon
damselfly config check supernode --json -- --zone eu/fra --store-max 500GiB
damselfly config print daemon
\`\`\`

\`\`\`yaml
# /etc/damselfly/daemon.yaml
tracker: [wss://tracker.corp:8400]
upstream:
  - harbor.corp=https://harbor.corp
  - { name: quay.io, url: https://quay.io, username: robot, password: secret, ca: /etc/ssl/quay.pem }
zone: eu-1
\`\`\`

## Upstreams

The registries that are served, and no others: a request that names one which is not on the list is answered 404, whichever
way it names it (\`?ns=\`, \`X-Dragonfly-Registry\`, the path). Files of \`dfget URL\` come from these hosts too, and from no others. On the command line an upstream is \`NAME=URL\`, with or without
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

${parts.join('\n')}
## Identities

All connections between processes are mutual TLS 1.3, with certificates of the cluster's own authority. It is made once, on the
machine of the tracker:

\`\`\`sh
damselfly ca init --ca-dir /var/lib/damselfly/ca
damselfly tracker
damselfly token create --role supernode --ttl 1h
damselfly token create --role node --ttl 24h
\`\`\`

\`ca.key\` says who is a member: keep it secret, and a copy of it. A token lets its holder become a member of its role until it
expires, with \`--join-token\` (better \`DAMSELFLY_JOIN_TOKEN\` or the settings file: command lines are there for all to see).
The process keeps its key and certificate in \`identity/\` of its first data directory, and needs the token no more. The
certificate counts for 24 h and is renewed after half of that at the tracker's public port (\`--enroll\`). A machine that was
away for longer needs a token again. A further tracker has a copy of the authority's folder, or joins with a token of the role
\`tracker\` and then enrols nobody.

\`damselfly ca revoke ROLE/NAME\` takes a membership back (\`dfget status --json\` shows the name as \`id\`). A tracker that has the
authority's folder heeds it within two seconds, one without it within ten, and tells all members: they cut what is open to that
member and take no more of it, also after a restart. It gets no certificate any more.

\`damselfly ca rotate\` replaces the authority while the cluster works. The new one is in the folder as \`next.crt\` and \`next.key\`
(copy them, \`rotation\` and \`revocations\` to wherever trackers have a copy of the folder), and all members hear of it at once. After \`--overlap\`
(24 h) it issues, and members renew their certificates by themselves; after another overlap the old one counts no more. A member
that was away all the time, and a join token that was made before the new one began to issue, count no more then either; a process that
has joined may keep its old token in its settings. A key that was stolen cannot be taken back so, because who has it can rotate
too: then \`damselfly ca init\` in another folder, and new tokens for all.

Certificates, tokens and rotations end by the clocks of the trackers, of which members hear when they connect: a member's own clock may be
an hour behind or eight ahead, which is as much as TLS puts up with. Of two trackers the middle counts, of more the median; members that
have heard only some of them may be 20 minutes apart and still give each other blobs.

Certificates of an authority of your own are taken with \`--tls-cert\`, \`--tls-key\` and \`--tls-ca\`: both for TLS servers and
clients, with one URI name \`spiffe://CLUSTER/ROLE/NAME\`, the same CLUSTER everywhere, and ROLE node, supernode or tracker.
The files are read again each minute.

\`damselfly up\` has an authority in its data directory, and so has a process without a tracker, which trusts nobody else.
\`--insecure\` makes all connections plain, for every process of the cluster; the log, \`/readyz\` and the metric
\`damselfly_insecure\` say so.

## Limits

\`--upload-rate\`, \`--download-rate\` and \`--registry-rate\` are \`none\` or a rate of at least 64KiB/s: \`20MB/s\` (a million bytes each),
\`20MiB/s\`, \`100Mbit/s\`. All transfers of a process share a rate evenly, and none of them goes over it by more than what it gives in
50 ms. A byte from a registry counts as registry and as download; manifests asked for by the daemon itself are not counted.
Uploads and downloads at a time follow the rate: one for each 4 MiB/s, at least one. With \`damselfly up\` supernode and node each
have the rates that are given.

Who comes when the peer port holds \`--max-connections\` is answered 503, as by a node without a free upload slot, and asks
elsewhere; connections that idle make room first.

\`--background\` is for daemons beside work that pays: scheduling priority nice 19, one upload and one download at a time,
16MiB/s of upload and 128 connections unless other limits are given. Linux weighs nice values within one cgroup and session only:
under systemd set \`CPUWeight=\` of the unit too, in Kubernetes a small CPU request.

With or without limits the node's own clients go first: while one of them could take bytes that are here, uploads to peers
trickle (64 KiB each 50 ms).

Limits of one process also change on its admin address, until the settings say another one. What is not named stays; the
answer is what is in force. Only somebody on the same machine may change them.

\`\`\`sh
curl http://127.0.0.1:65003/v1/limits
curl -X PUT -H 'content-type: application/json' http://127.0.0.1:65003/v1/limits \\
  -d '{"uploadRate": "20MB/s", "downloadRate": "none", "maxConnections": 256}'
\`\`\`

A wrong value is answered with 400 and \`{code, message, facts}\`, and nothing changes.

## While processes run

A node daemon and a supernode look at their settings file every second (also when it is not there yet, or is a link, as in
Kubernetes), and take it over once it has stood for a second. All of it or nothing: when a value is wrong, or one is another
that is not *live*, nothing changes; the reason is in the log and at \`/readyz\`, and
\`damselfly_settings_changes_total{source="file",outcome="refused"}\` counts it. For settings that are not live, \`dfget upgrade\`
puts a node daemon in the place of itself without a request being dropped.

Live settings of many nodes are set by who holds the cluster's authority, with \`--tracker\` and \`--ca-dir\`: they are signed with it. With
\`--insecure\` any node daemon will do. On the machine of \`damselfly up\` it is \`--tracker wss://127.0.0.1:8400\`. The trackers pass them on, and nodes keep them: also
those that were away, and those that start later, have them. In clusters with \`--tls-ca\` nobody can set any; each node has its file.

\`\`\`sh
dfget settings get
dfget settings set upload-rate=20MB/s registry-rate=50MB/s --tracker wss://tracker.corp:8400 --ca-dir /var/lib/damselfly/ca
dfget settings set log-level=debug --node 2c5985ec
dfget settings set upload-rate=5MB/s --zone eu-1
dfget settings unset upload-rate --zone eu-1
\`\`\`

They win over flags, environment and file; what is set for a zone counts in the zones within it too and wins over
what is set for a zone around it and for all nodes, what is set for a node over all of these. A wrong value is refused before anybody is told. A node that cannot do what it is told, for example one of another
version, does nothing of it and says so as above, with \`source="cluster"\`. Supernodes and trackers follow their own settings
only, \`damselfly up\` and trackers take new ones at their next start.

## Stopping and upgrading a node

At SIGTERM or SIGINT a daemon takes no more connections, lets the answers under way end for \`--drain-timeout\`, then cuts what
is left, says good-bye to its peers and exits with 0. A second signal ends it at once.

\`dfget upgrade\`, run from the version that is to serve, starts it with the arguments of the daemon that runs, its settings read
anew and its listening sockets. The new daemon checks all it can, then asks the old one for the store and the ports of peers
and admin; that takes 0.1 to 1 s, in which clients wait. From then on new requests go to the new daemon, and the old one
finishes its answers with bytes that it reads from the new one, for an hour at most. When the new daemon does not start, or
ends before it serves, the old one goes on, and the command says so with exit code 1. \`dfget daemon --upgrade\` does the same
for a daemon that somebody else starts, with sockets from systemd.

Listening sockets may come from systemd (\`LISTEN_FDS\`), named \`proxy\` (several are for the \`--proxy-listen\` in their
order), \`forward\`, \`peer\` and \`admin\`: see \`deploy/systemd/dfget-daemon.service\` and \`deploy/systemd/dfget-daemon.socket\`, where
\`systemctl reload\` is an upgrade.
`;
}

function upstreamRows(): string {
  return Object.entries(UPSTREAM_FIELDS)
    .map(([name, meaning]) => `| \`${name}\` | ${meaning} |`)
    .join('\n');
}

function settingsTable(schema: z.ZodObject<Record<string, z.ZodType>>, live: object): string {
  const rows = Object.entries(schema.shape).map(([key, field]) => {
    const { argument = '', help } = metaOf(field);
    const flag = `--${kebab(key)}`;
    return `| \`${`${flag} ${argument}`.trim().replaceAll('|', '\\|')}\` | \`${envName(key)}\` | ${portable(help)}${key in live ? '; *live*' : ''} |`;
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
\`nodejs_*\`. The lag of the event loop is what passes between two looks at it, of which there is one every 200 ms.

## Node daemon and supernode

${await metricsTable(ours.registry)}

## Tracker

${await metricsTable(tracker.registry)}

## Dashboard and alerts

\`deploy/grafana/damselfly.json\` is a Grafana dashboard over these metrics (Dashboards, New, Import), and
\`deploy/prometheus/alerts.yaml\` has alert rules, each with what to do (\`rule_files\` in prometheus.yml):

\`\`\`sh
promtool check rules deploy/prometheus/alerts.yaml
\`\`\`

## Live page

Every tracker shows its cluster as it is now at \`/live\` of its public port: members, zones, versions, each swarm filling up,
bytes from registries and from a bucket (\`--blob-store\`) against bytes between nodes, the slowest nodes and what they wait for,
bans. While somebody watches,
members report to that tracker about every second, in clusters beyond 2,000 less often; nothing is sent while nobody does. Its
sums are those of \`damselfly_received_bytes_total\` and \`damselfly_sent_bytes_total\` over the members that are connected, no
older than one refresh. It is for browsers on the tracker's machine,
as \`https://localhost:8401/live\` or through \`ssh -L 8401:localhost:8401\`; with \`--live-token\` also from elsewhere, by \`/live?token=TOKEN\`, once: a cookie keeps it.
The certificate is one of the cluster's authority, which a browser does not know (\`GET /v1/ca\` gives it).

Why one pull took as long as it did is told by \`dfget explain\` ([TRACE.md](TRACE.md)).
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
