import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import t, { type Test } from 'tap';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { damselflyCli } from '../../damselfly/cli.ts';
import { dfgetCli } from '../../dfget/cli.ts';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { CHART, NAMESPACE, renderChart, type Values } from '../../scripts/manifests/chart.ts';
import { renderTemplate } from '../../scripts/manifests/go-template.ts';
import { kustomizeFiles } from '../../scripts/manifests/kustomize.ts';
import { readManifest } from '../../scripts/packages/manifest.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { onPath } from '../helpers/clients/client.ts';
import {
  type Container,
  type KubernetesObject,
  ofKind,
  type Pod,
  readObjects,
} from '../helpers/kubernetes/objects.ts';

const PLACED = {
  // As many write it, though the chart does.
  nodeSelector: { 'kubernetes.io/os': 'linux', pool: 'infra' },
  tolerations: [{ key: 'pool', operator: 'Equal', value: 'infra', effect: 'NoSchedule' }],
  priorityClassName: 'system-cluster-critical',
};
/** A cluster in which everything that can be chosen is chosen. */
const EVERYTHING = {
  imagePullSecrets: ['pull'],
  registryAuthSecret: 'registry-auth',
  registryFilesSecret: 'registry-files',
  adminTokenSecret: 'admin-token',
  upstreams: [
    {
      name: 'harbor.corp',
      url: ['https://harbor-a.corp', 'https://harbor-b.corp'],
      ...{ trust: 'node', ca: '/etc/damselfly-registry/corp.pem' },
    },
    { name: '*.pkg.dev', url: 'https://*' },
  ],
  zones: [{ name: 'eu-1' }, { name: 'eu-2' }],
  tracker: {
    ...{ replicas: 3, storageClass: 'fast', peerStoreSecret: 'redis', apiSecret: 'api' },
    ...PLACED,
    settings: { 'preheat-registry': ['harbor.corp'], 'zone-cidr': ['10.1.0.0/16=eu-1'] },
  },
  supernode: {
    ...PLACED,
    storageClass: 'fast',
    blobStore: 's3://blobs/d?endpoint=https://rgw.corp',
    blobStoreSecret: 's3',
    settings: { 'border-rate': '2Gbit/s' },
  },
  node: {
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    uploadRate: '100MB/s',
    settings: { 'scrub-rate': '20MB/s', prefetch: 'image' },
    setup: { client: 'k3s', folder: '/etc/rancher/k3s' },
  },
  networkPolicy: { nodeCidrs: ['10.1.0.0/16', 'fd00::/8'], apiNamespaces: ['harbor', '123'] },
  serviceMonitor: true,
  serviceMonitorLabels: { release: 'kube-prometheus-stack' },
};
const VARIANTS: readonly (readonly [string, Values])[] = [
  ['as it is', {}],
  ['with everything chosen', EVERYTHING],
  ['with trackers that watch workloads', { tracker: { watchKubernetes: 'annotated' } }],
];
/** Each process: its settings, by the name of their file and where it listens. */
const PROCESSES = {
  'tracker.yaml': {
    schema: trackerConfig,
    ports: { control: 'listen', public: 'httpListen', admin: 'adminListen' },
  },
  'supernode.yaml': {
    schema: supernodeConfig,
    ports: { peer: 'peerListen', dht: 'dhtListen', admin: 'adminListen' },
  },
  'daemon.yaml': {
    schema: daemonConfig,
    ports: { peer: 'peerListen', dht: 'dhtListen', admin: 'adminListen' },
  },
} as const;

const workloads = (objects: readonly KubernetesObject[]) => [
  ...ofKind(objects, 'StatefulSet'),
  ...ofKind(objects, 'DaemonSet'),
];
const containersOf = ({ containers, initContainers = [] }: Pod): Container[] => [
  ...initContainers,
  ...containers,
];
const fits = (
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> = {},
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);
const under = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** The command that a container runs, with its words. @throws Error when we have no such command */
async function commandOf([program = '', ...words]: readonly string[]): Promise<{
  command: Command;
  rest: string[];
}> {
  const cli = program === 'dfget' ? await dfgetCli(undefined) : damselflyCli();
  if (cli.name() !== program) throw new Error(`no program ${program}`);
  const command = cli.commands.find((each) => each.name() === words[0]);
  if (command === undefined) throw new Error(`${program} has no command ${words[0]}`);
  return { command, rest: words.slice(1) };
}

for (const [variant, values] of VARIANTS) {
  t.test(`the chart ${variant}`, async (t) => {
    const objects = readObjects([...renderChart(values).values()].join('---\n'));
    const maps = ofKind(objects, 'ConfigMap');

    await t.test('no object is there twice, and every kind is there', async (t) => {
      const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
      t.equal(new Set(names).size, names.length);
      t.same(
        new Set(objects.map(({ kind }) => kind)).size,
        7 + Number(values === EVERYTHING) + 2 * Number(ofKind(objects, 'ClusterRole').length > 0),
        [...new Set(objects.map(({ kind }) => kind))].join(', '),
      );
      const zones = (values['zones'] as unknown[] | undefined)?.length ?? 1;
      t.equal(workloads(objects).length, 1 + 2 * zones);
    });

    for (const { kind, metadata, spec } of workloads(objects)) {
      const pod = spec.template.spec;
      await t.test(`${kind} ${metadata.name}`, async (t) => {
        t.ok(fits(spec.selector.matchLabels, spec.template.metadata.labels), 'its selector finds its pods');
        const volumes = new Map(pod.volumes.map((volume) => [volume.name, volume]));
        const claims =
          kind === 'StatefulSet' ? spec.volumeClaimTemplates.map((claim) => claim.metadata.name) : [];
        for (const { name, volumeMounts, command, image, env = [], ports = [], ...probes } of containersOf(
          pod,
        )) {
          t.equal(image, `damselfly:${readManifest().version}`, `${name}: the image that we build`);
          for (const mount of volumeMounts) {
            t.ok(volumes.has(mount.name) || claims.includes(mount.name), `${name}: volume ${mount.name}`);
          }
          if (command[0] !== '/usr/lib/damselfly/node') {
            const { command: known, rest } = await commandOf(command);
            t.same(known.parseOptions(rest).unknown, [], `${name}: ${command.join(' ')}`);
          }
          for (const probe of [probes.startupProbe, probes.livenessProbe, probes.readinessProbe]) {
            if (probe === undefined) continue;
            t.ok(['/healthz', '/readyz'].includes(probe.httpGet.path));
            t.ok(ports.some((port) => port.name === probe.httpGet.port));
          }
          for (const { name: variable, value, valueFrom } of env) {
            t.ok((value === undefined) !== (valueFrom === undefined), `${variable} has one value`);
          }
        }
        for (const [name, volume] of volumes) {
          t.equal(Object.keys(volume).length, 2, `volume ${name} is of one kind`);
          t.ok(
            containersOf(pod).some(({ volumeMounts }) => volumeMounts.some((mount) => mount.name === name)),
          );
          if (volume.configMap !== undefined) {
            t.ok(
              maps.some((map) => map.metadata.name === volume.configMap?.name),
              `ConfigMap of ${name}`,
            );
          }
        }
        checkSettings(t, pod, claims, maps);
      });
    }

    await t.test('members dial trackers that there are', async (t) => {
      const [trackers] = ofKind(objects, 'StatefulSet').filter(
        ({ metadata }) => metadata.name === 'damselfly-tracker',
      );
      const service = ofKind(objects, 'Service').find(
        ({ metadata }) => metadata.name === trackers?.spec.serviceName,
      );
      const control = service?.spec.ports.find(({ name }) => name === 'control')?.port;
      const there = Array.from(
        { length: trackers?.spec.replicas ?? 0 },
        (_, index) => `wss://damselfly-tracker-${index}.${service?.metadata.name}:${control}`,
      );
      for (const map of maps) {
        const [text = ''] = Object.values(map.data);
        const { tracker } = parse(text) as { tracker?: string[] };
        if (tracker !== undefined) t.same(tracker, there, map.metadata.name);
      }
      t.equal(service?.spec.publishNotReadyAddresses, true, 'by their names, from the start on');
    });

    await t.test(
      'services, budgets, policies and monitors are about pods and ports that there are',
      async (t) => {
        const pods = workloads(objects).map(({ spec }) => spec.template);
        const portsOf = (labels: Readonly<Record<string, string>>) =>
          pods
            .filter(({ metadata }) => fits(labels, metadata.labels))
            .map(({ spec }) => containersOf(spec).flatMap(({ ports = [] }) => ports));
        for (const { metadata, spec } of ofKind(objects, 'Service')) {
          const found = portsOf(spec.selector);
          t.not(found.length, 0, `service ${metadata.name} has pods`);
          for (const { port, targetPort } of spec.ports) {
            for (const ports of found) {
              t.ok(
                ports.some(({ containerPort, name }) => name === targetPort && containerPort === port),
                targetPort,
              );
            }
          }
        }
        for (const { metadata, spec } of ofKind(objects, 'PodDisruptionBudget')) {
          t.not(portsOf(spec.selector.matchLabels).length, 0, `budget ${metadata.name} has pods`);
        }
        for (const { metadata, spec } of ofKind(objects, 'NetworkPolicy')) {
          const open = new Set(spec.ingress.flatMap(({ ports }) => ports.map(({ port }) => port)));
          for (const ports of portsOf(spec.podSelector.matchLabels)) {
            t.same(
              [...open].sort(),
              ports.map(({ containerPort }) => containerPort).sort(),
              `policy ${metadata.name}: every port`,
            );
          }
        }
        for (const { metadata, spec } of ofKind(objects, 'ServiceMonitor')) {
          const found = ofKind(objects, 'Service').filter((each) =>
            fits(spec.selector.matchLabels, each.metadata.labels),
          );
          t.equal(found.length, 1, `monitor ${metadata.name} finds one service`);
          for (const { path, port } of spec.endpoints) {
            t.equal(path, '/metrics');
            t.ok(found[0]?.spec.ports.some(({ name }) => name === port));
          }
        }
      },
    );
  });
}

/** The settings file that a pod's process reads: whether it takes it, listens where the pod says, and has its paths. */
function checkSettings(
  t: Test,
  pod: Pod,
  claims: readonly string[],
  maps: readonly KubernetesObject<'ConfigMap'>[],
): void {
  const [container] = pod.containers as [Container];
  const mounted = pod.volumes.find(({ name }) => name === 'settings')?.configMap?.name;
  const [[file, text] = ['', '']] = Object.entries(
    maps.find(({ metadata }) => metadata.name === mounted)?.data ?? {},
  );
  const { ports, schema } = PROCESSES[file as keyof typeof PROCESSES];
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-manifests-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const defaultFile = join(folder, file);
  writeFileSync(defaultFile, text);
  const variables = container.env ?? [];
  const env = Object.fromEntries(
    variables.flatMap(({ name, value, valueFrom = {} }) => {
      const told = 'fieldRef' in valueFrom ? '192.0.2.1' : value;
      return told === undefined ? [] : [[name, told]];
    }),
  );
  const settings = loadConfig(schema as typeof daemonConfig, { flags: {}, env, defaultFile }) as Readonly<
    Record<string, unknown>
  >;
  const known = Object.keys(schema.shape).map(
    (key) => `DAMSELFLY_${key.replace(/[A-Z]/g, '_$&').toUpperCase()}`,
  );
  for (const { name } of variables) t.ok(known.includes(name), `${name} is a setting of ${file}`);
  for (const [port, key] of Object.entries(ports)) {
    const there = container.ports?.find(({ name }) => name === port)?.containerPort;
    t.match(settings[key], { host: '0.0.0.0', port: there }, `${file}: ${key}`);
  }
  t.equal(container.ports?.length, Object.keys(ports).length, 'no other port');
  const mounts = container.volumeMounts;
  const writable = (path: string): boolean =>
    mounts.some(({ mountPath, readOnly = false }) => !readOnly && under(path, mountPath));
  const given = parse(text) as Readonly<Record<string, string | string[] | undefined>>;
  t.ok(
    [given['data-dir']].flat().every((path) => path !== undefined && writable(path)),
    'its data are on a volume',
  );
  const upstreams = (parse(text) as { upstream?: { ca?: string }[] }).upstream ?? [];
  for (const path of [
    ...[given['ca-dir'], given['admin-token-file'], given['api-key-file'], given['auth-file']].flat(),
    ...upstreams.map(({ ca }) => ca),
  ]) {
    if (path === undefined) continue;
    t.ok(
      mounts.some(({ mountPath }) => under(path, mountPath)),
      `${path} is mounted`,
    );
  }
  t.ok(pod.terminationGracePeriodSeconds > 30, 'answers under way may end');
  const kept = mounts.find(({ mountPath }) => mountPath.startsWith('/var/lib/damselfly'))?.name ?? '';
  t.ok(
    claims.includes(kept) ||
      pod.volumes.some(({ name, hostPath }) => name === kept && hostPath !== undefined),
    'its data outlive the pod',
  );
}

t.test('the plain manifests are what the chart gives', async (t) => {
  for (const [path, text] of kustomizeFiles()) {
    t.equal(readFileSync(path, 'utf8'), text, `npm run manifests: ${path}`);
  }
  for (const folder of ['base', 'monitoring', 'watch-kubernetes']) {
    const at = join(CHART, '..', '..', 'kustomize', folder);
    const { resources } = parse(readFileSync(join(at, 'kustomization.yaml'), 'utf8')) as {
      resources: string[];
    };
    const written = [...kustomizeFiles().keys()].filter((path) => path.startsWith(`${at}/`));
    const listed = resources.filter((name) => name !== '../base' && name !== 'namespace.yaml');
    t.same(listed.map((name) => join(at, name)).sort(), written.sort(), `${folder} lists every file`);
  }
});

t.test('chart and image have the version of the project', async (t) => {
  const { appVersion, version } = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as Record<
    string,
    string
  >;
  t.same([version, appVersion], [readManifest().version, readManifest().version]);
});

t.test('what the renderer does not know is refused', async (t) => {
  t.throws(() => renderTemplate('{{ .Values.nothing }}', { Values: {} }), /no such value/);
  t.throws(() => renderTemplate('{{ include "x" . }}', {}), /keeps to/);
  t.throws(() => renderTemplate('{{ .a | upper }}', { a: 'x' }), /no function upper/);
  t.throws(() => renderTemplate('{{ if .a }}', { a: 1 }), /without its end/);
  t.throws(() => renderChart({ nothing: 1 }), /values\.yaml has no nothing/);
});

interface PlainObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}
/** What the manifests say, however they are written; of settings files too. */
const plain = (text: string) =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as PlainObject | null)
    .filter((object) => object !== null)
    .map((object) => ({
      ...object,
      data: Object.values(object.data ?? {}).map((file) => parse(file) as unknown),
    }))
    .sort((a, b) => `${a.kind}/${a.metadata.name}`.localeCompare(`${b.kind}/${b.metadata.name}`));

t.test('Helm itself gives the same', { skip: onPath('helm') === undefined && 'no helm' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-helm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const [variant, values] of VARIANTS) {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, stringify(values));
    const helm = (...args: string[]): string =>
      execFileSync('helm', [...args, CHART, '--values', file], { encoding: 'utf8' });
    t.match(helm('lint', '--strict'), /0 chart\(s\) failed/);
    const rendered = helm('template', 'damselfly', '--namespace', NAMESPACE, '--kube-version', '1.30.0');
    t.same(plain(rendered), plain([...renderChart(values).values()].join('---\n')), variant);
  }
});

t.test(
  'kubectl builds the plain manifests',
  { skip: onPath('kubectl') === undefined && 'no kubectl' },
  async (t) => {
    const built = execFileSync('kubectl', ['kustomize', join(CHART, '..', '..', 'kustomize', 'monitoring')], {
      encoding: 'utf8',
    });
    const kinds = plain(built).map(({ kind }) => kind);
    t.equal(kinds.filter((kind) => kind === 'ServiceMonitor').length, 3);
    t.equal(
      kinds.length,
      [...renderChart({ serviceMonitor: true }).values()].join('---\n').split('---\n').length + 2,
      'with the namespace and the alerts',
    );
  },
);
