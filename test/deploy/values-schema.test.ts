import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { kebab } from '../../lib/config/load.ts';
import { renderChart } from '../../scripts/manifests/chart.ts';
import { VALUES_SCHEMA, valuesSchema } from '../../scripts/manifests/values-schema.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { type KubernetesObject, ofKind, readObjects } from '../helpers/kubernetes/objects.ts';

const TRACKERS_VALUES = ['admin-token-file', 'api-key-file', 'watch-kubernetes'];
const KNOWN = { tracker: trackerConfig, supernode: supernodeConfig, node: daemonConfig };
/** Of the process: what its values may set, and what its file says with them. */
const allowed = (name: string): string[] => {
  const { properties } = JSON.parse(readFileSync(VALUES_SCHEMA, 'utf8')) as {
    properties: Record<string, { properties: { settings: { properties: object } } }>;
  };
  return Object.keys(properties[name]?.properties.settings.properties ?? {});
};
const fileOf = (objects: readonly KubernetesObject[], name: string): Record<string, unknown> => {
  const map = ofKind(objects, 'ConfigMap').find(({ metadata }) => metadata.name === `damselfly-${name}`);
  return parse(Object.values(map?.data ?? {})[0] ?? '') as Record<string, unknown>;
};

interface Closed {
  readonly additionalProperties?: boolean;
  readonly properties?: Readonly<Record<string, Closed>>;
}

t.test(
  'the schema of the values is that of the settings, and refuses what values.yaml has not',
  async (t) => {
    t.equal(readFileSync(VALUES_SCHEMA, 'utf8'), valuesSchema(), 'npm run manifests');
    const root = JSON.parse(valuesSchema()) as Closed;
    const at = (...path: string[]): Closed | undefined =>
      path.reduce<Closed | undefined>((schema, key) => schema?.properties?.[key], root);
    for (const path of [[], ['node'], ['node', 'setup'], ['node', 'settings'], ['networkPolicy']]) {
      t.equal(at(...path)?.additionalProperties, false, path.join('.'));
    }
    for (const path of [
      ['global'],
      ['enabled'],
      ['node', 'nodeSelector'],
      ['node', 'resources'],
      ['serviceMonitorLabels'],
    ]) {
      t.same(at(...path), {}, `${path.join('.')} takes any key`);
    }
    t.ok(at('node', 'storeMax'));
    t.notOk(at('node', 'storemax'));
  },
);

for (const [name, { shape }] of Object.entries(KNOWN)) {
  t.test(`${name}: each setting is in the file that the chart writes, or may be given`, async (t) => {
    const given = Object.fromEntries(allowed(name).map((key) => [key, `given ${key}`]));
    const objects = readObjects([...renderChart({ [name]: { settings: given } }).values()].join('---\n'));
    // A key that was there twice would not be YAML.
    const file = fileOf(objects, name);
    t.match(file, given);
    const known = Object.keys(shape).map(kebab);
    t.same(
      Object.keys(file).filter((key) => !known.includes(key)),
      [],
      'and no other',
    );
    const inPods = ['zone', 'advertise', 'join-token', 'peer-store', 'blob-store', 'auth-file', 'live-token'];
    const missing = known.filter((key) => file[key] === undefined && !inPods.includes(key));
    const ofValues = name === 'tracker' ? TRACKERS_VALUES : ['admin-token-file'];
    t.same(missing, ofValues, 'left out are those that a Secret, the pod or another value has');
  });
}

t.test('what the chart or the pod says is not to be given', async (t) => {
  const taken = {
    tracker: ['listen', 'ca-dir', 'peer-store', 'watch-kubernetes', 'log-level'],
    supernode: ['zone', 'upstream', 'blob-store', 'join-token'],
    node: ['zone', 'advertise', 'store-max', 'proxy-listen'],
  };
  for (const [name, keys] of Object.entries(taken)) {
    const given = allowed(name);
    t.ok(given.length > 5, name);
    t.same(
      keys.filter((key) => given.includes(key)),
      [],
    );
  }
});
