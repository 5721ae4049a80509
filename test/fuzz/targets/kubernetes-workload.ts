import { WantedImages } from '../../../tracker/kubernetes/wanted-images.ts';
import { readWorkload } from '../../../tracker/kubernetes/workload.ts';
import { type FuzzTarget, promise } from '../target.ts';

const workload = {
  metadata: {
    ...{ uid: 'u1', name: 'web', namespace: 'shop', resourceVersion: '5' },
    annotations: { 'damselfly.io/preheat': 'true', 'damselfly.io/preheat-nodes': '10%' },
  },
  spec: {
    template: {
      spec: { containers: [{ image: 'web:1' }, { image: '' }], initContainers: [{ image: 'init:1' }] },
    },
  },
};

export const target: FuzzTarget = {
  about: 'workloads as the API server of Kubernetes tells them',
  parsers: { 'tracker/kubernetes/workload.ts': ['readWorkload'] },
  form: 'json',
  corpus: [
    JSON.stringify(workload),
    JSON.stringify({ ...workload, metadata: { uid: 'u2', name: 'a', namespace: 'b', annotations: null } }),
    JSON.stringify({ ...workload, spec: { template: { spec: { containers: null } } } }),
    '{"metadata":{}}',
    'null',
  ],
  parse: (input) => {
    let object: unknown;
    try {
      object = JSON.parse(input.toString());
    } catch {
      return;
    }
    for (const all of [true, false]) {
      const found = readWorkload(object, all);
      if (found === undefined) continue;
      promise(found.wanted.length <= 200, 'bounded');
      const images = new WantedImages();
      promise(images.changed('list', found).length === found.wanted.length, 'all of it is new');
      promise(images.changed('list', found).length === 0, 'and then it is not');
      images.gone('list', found.uid);
      promise(images.changed('list', found).length === found.wanted.length, 'nothing is left of it');
    }
  },
};
