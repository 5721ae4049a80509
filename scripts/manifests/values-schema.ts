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
  tracker: { peerStoreSecret: 'a', watchKubernetes: 'annotated' },
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

/**
 * `values.schema.json`, by which Helm refuses a key of `settings` that its process does not have, or that the chart
 * writes itself: from a value of its own, or because the pod depends on it.
 */
export function valuesSchema(): string {
  const objects = parseAllDocuments([...renderChart(ALL).values()].join('---\n')).map(
    (document) => document.toJS() as Rendered,
  );
  const properties = Object.entries(PROCESSES).map(([name, { file, known }]) => {
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
    const settings = {
      type: 'object',
      properties: Object.fromEntries(free.sort().map((key) => [key, {}])),
      additionalProperties: false,
    };
    return [name, { type: 'object', properties: { settings } }];
  });
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    description: 'Written by `npm run manifests` from the settings of the processes.',
    type: 'object',
    properties: Object.fromEntries(properties) as object,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

export const VALUES_SCHEMA = join(CHART, 'values.schema.json');
