import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';

const ROOT = join(import.meta.dirname, '..', '..');
const DEPLOY = join(ROOT, 'deploy');
const read = (...path: string[]): string => readFileSync(join(DEPLOY, ...path), 'utf8');

/** What is in `deploy/`, and the test that reads or renders it. */
const READERS: Readonly<Record<string, string>> = {
  'ansible/**/*.yaml': 'test/deploy/ansible.test.ts',
  'grafana/damselfly.json': 'test/observe/deploy.test.ts',
  'helm/damselfly/Chart.yaml': 'test/deploy/manifests.test.ts',
  'helm/damselfly/templates/*.yaml': 'test/deploy/manifests.test.ts',
  'helm/damselfly/values.schema.json': 'test/deploy/values-schema.test.ts',
  'helm/damselfly/values.yaml': 'test/deploy/manifests.test.ts',
  'kustomize/{base,monitoring}/*.yaml': 'test/deploy/manifests.test.ts',
  'kustomize/watch-kubernetes/*.yaml': 'test/deploy/kubernetes-rights.test.ts',
  'prometheus/alerts.yaml': 'test/observe/deploy.test.ts',
  'systemd/*.{service,socket}': 'test/e2e/least-privilege.test.ts',
};

t.test('each file has a test that reads it', async (t) => {
  const found = Object.entries(READERS).flatMap(([pattern, reader]) => {
    t.ok(existsSync(join(ROOT, reader)), reader);
    const files = globSync(pattern, { cwd: DEPLOY });
    t.not(files.length, 0, pattern);
    return files;
  });
  const there = readdirSync(DEPLOY, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(DEPLOY.length + 1));
  t.same(found.sort(), there.sort());
});

t.test('each overlay names all of its files', async (t) => {
  for (const folder of readdirSync(join(DEPLOY, 'kustomize'))) {
    const { patches = [], resources } = parse(read('kustomize', folder, 'kustomization.yaml')) as {
      resources: string[];
      patches?: { path: string }[];
    };
    const named = [...resources.filter((name) => name !== '../base'), ...patches.map(({ path }) => path)];
    const files = readdirSync(join(DEPLOY, 'kustomize', folder));
    t.same([...named, 'kustomization.yaml'].sort(), files.sort(), folder);
    for (const name of files) {
      for (const document of parseAllDocuments(read('kustomize', folder, name))) {
        t.same(document.errors, [], name);
      }
    }
  }
});

t.test('each file of tasks is included by another, and each handler is told of something', async (t) => {
  const role = ['ansible', 'roles', 'damselfly'];
  const files = readdirSync(join(DEPLOY, ...role, 'tasks'));
  const tasks = files.map((name) => read(...role, 'tasks', name)).join('\n');
  const included = [...tasks.matchAll(/include_tasks: (\S+)/g)].map(([, name]) => name);
  t.same(included.sort(), files.filter((name) => name !== 'main.yaml').sort());
  const handlers = parse(read(...role, 'handlers', 'main.yaml')) as { name: string }[];
  for (const { name } of handlers) t.match(tasks, new RegExp(`(notify:|-) ${name}$`, 'm'));
});
