import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { CHART, NAMESPACE, renderChart } from '../../scripts/manifests/chart.ts';
import { WATCHED_KINDS } from '../../tracker/kubernetes/watch-kubernetes.ts';
import { onPath } from '../helpers/clients/client.ts';
import { type KubernetesObject, ofKind, type Pod, readObjects } from '../helpers/kubernetes/objects.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The volume with a service account's token, and where it is. */
function accountOf({ containers, volumes }: Pod): unknown[] {
  const volume = volumes.find(({ projected }) => projected !== undefined);
  const mounts = containers.flatMap(({ volumeMounts }) => volumeMounts);
  return [volume, mounts.find(({ name }) => name === volume?.name)];
}

for (const watchKubernetes of ['', 'annotated', 'shop,web', '123']) {
  t.test(`who asks the API server is allowed to, and nobody else: "${watchKubernetes}"`, async (t) => {
    const rendered = renderChart({ tracker: { watchKubernetes } });
    const objects = readObjects([...rendered.values()].join('---\n'));
    const accounts = ofKind(objects, 'ServiceAccount').map(({ metadata }) => metadata.name);
    const roles = ofKind(objects, 'ClusterRole');
    const bindings = ofKind(objects, 'ClusterRoleBinding');
    const watches = watchKubernetes !== '';
    for (const { metadata, spec } of [...ofKind(objects, 'StatefulSet'), ...ofKind(objects, 'DaemonSet')]) {
      const pod = spec.template.spec;
      t.ok(accounts.includes(pod.serviceAccountName), pod.serviceAccountName);
      const may = bindings.some(({ subjects }) =>
        subjects.some(({ name }) => name === pod.serviceAccountName),
      );
      t.equal(may, watches && metadata.name === 'damselfly-tracker', metadata.name);
      const [volume, mount] = accountOf(pod) as [
        unknown,
        { mountPath: string; readOnly: boolean } | undefined,
      ];
      t.equal(volume !== undefined, may);
      if (may) t.match(mount, { mountPath: ACCOUNT, readOnly: true });
    }
    for (const { roleRef, subjects } of bindings) {
      t.ok(roles.some(({ metadata }) => metadata.name === roleRef.name));
      t.ok(subjects.every(({ namespace }) => namespace === NAMESPACE));
    }
    t.equal(roles.length, watches ? 1 : 0);
    const rules = roles.flatMap((role) => role.rules);
    t.same(
      rules.flatMap(({ resources }) => resources),
      watches ? [...WATCHED_KINDS] : [],
      'what the tracker watches',
    );
    t.ok(rules.every(({ verbs }) => verbs.join() === 'list,watch'));
    const settings = ofKind(objects, 'ConfigMap').find(
      ({ metadata }) => metadata.name === 'damselfly-tracker',
    );
    const said = parse(settings?.data['tracker.yaml'] ?? '') as Readonly<Record<string, unknown>>;
    t.equal(said['watch-kubernetes'], watches ? watchKubernetes : undefined);
  });
}

t.test(
  'the overlay for workloads gives the trackers the same account as the chart',
  { skip: onPath('kubectl') === undefined && 'no kubectl' },
  async (t) => {
    const overlay = join(CHART, '..', '..', 'kustomize', 'watch-kubernetes');
    const built = parseAllDocuments(execFileSync('kubectl', ['kustomize', overlay], { encoding: 'utf8' }));
    const objects = built.map((document) => document.toJS() as KubernetesObject);
    const tracker = ofKind(objects, 'StatefulSet').find(
      ({ metadata }) => metadata.name === 'damselfly-tracker',
    );
    const chosen = renderChart({ tracker: { watchKubernetes: 'annotated' } });
    const [wanted] = ofKind(readObjects(chosen.get('tracker.yaml') ?? ''), 'StatefulSet');
    if (tracker === undefined || wanted === undefined) throw new Error('no trackers');
    const pod = tracker.spec.template.spec;
    t.same(accountOf(pod), accountOf(wanted.spec.template.spec));
    t.match(pod.containers[0]?.env, [{ name: 'DAMSELFLY_WATCH_KUBERNETES', value: 'annotated' }]);
    t.equal(ofKind(objects, 'ClusterRole').length, 1);
  },
);
