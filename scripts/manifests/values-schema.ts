import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { kebab } from '../../lib/config/load.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { CHART, renderChart } from './chart.ts';

/** Each process of the chart: where its values are, and the settings that its program takes. */
const PROCESSES = {
  tracker: { file: 'tracker.yaml', known: trackerConfig.shape },
  supernode: { file: 'supernode.yaml', known: supernodeConfig.shape },
  node: { file: 'daemon.yaml', known: daemonConfig.shape },
} as const;
/** With these the chart writes every setting that it ever writes itself. */
const ALL = {
  ...{ registryAuthSecret: 'a', adminTokenSecret: 'a', zones: [{ name: 'a' }] },
  tracker: { peerStoreSecret: 'a', apiSecret: 'a', watchKubernetes: 'annotated' },
  ...{ supernode: { blobStore: 's3://a', blobStoreSecret: 'a' } },
};

interface Rendered {
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: { readonly spec: { readonly containers: readonly { readonly env?: Env }[] } };
  };
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
}
type Env = readonly { readonly name: string }[];

/** Values that are what Kubernetes says, or a user's own: any key is as good as another. */
const OPEN = ['resources', 'nodeSelector', 'serviceMonitorLabels'];
/** Of a chart within another one: Helm gives it `global`, and the other one's `condition` is usually its `enabled`. */
const OF_HELM = { global: {}, enabled: {} };

/**
 * `values.schema.json`, by which Helm refuses a value that the chart does not have, and a key of `settings` that its
 * process does not have, or that the chart writes itself: from a value of its own, or because the pod depends on it.
 */
export function valuesSchema(): string {
  const objects = parseAllDocuments([...renderChart(ALL).values()].join('---\n')).map(
    (document) => document.toJS() as Rendered,
  );
  const settings = Object.entries(PROCESSES).map(([name, { file, known }]) => {
    const text = objects.find(({ data }) => data?.[file] !== undefined)?.data?.[file] ?? '';
    const pods = objects.filter(
      ({ metadata, spec }) =>
        metadata.labels?.['app.kubernetes.io/component'] === name && spec?.template !== undefined,
    );
    const variables = pods.flatMap(({ spec }) => spec?.template?.spec.containers[0]?.env ?? []);
    const taken = new Set([
      ...Object.keys(parse(text) as object),
      ...variables.map((each) =>
        each.name
          .replace(/^DAMSELFLY_/, '')
          .toLowerCase()
          .replaceAll('_', '-'),
      ),
    ]);
    const free = Object.keys(known)
      .map(kebab)
      .filter((key) => !taken.has(key));
    return [name, closedObject(Object.fromEntries(free.sort().map((key) => [key, ''])))] as const;
  });
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as object;
  const { properties, ...closed } = closedObject(values);
  for (const [name, each] of settings) (properties[name] as Closed).properties['settings'] = each;
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    description: 'Written by `npm run manifests` from the settings of the processes.',
    ...closed,
    properties: { ...properties, ...OF_HELM },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

interface Closed {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly properties: Record<string, object>;
}

/** An object with the keys of this one and no others; so are the objects in it. */
function closedObject(value: object): Closed {
  const properties = Object.entries(value).map(([key, each]: [string, unknown]) => {
    const isObject = typeof each === 'object' && each !== null && !Array.isArray(each);
    return [key, isObject && !OPEN.includes(key) ? closedObject(each) : {}] as const;
  });
  return { type: 'object', additionalProperties: false, properties: Object.fromEntries(properties) };
}

export const VALUES_SCHEMA = join(CHART, 'values.schema.json');
