import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { run } from '../../bench/fixtures/child.ts';
import { SETUP_CLIENTS } from '../../dfget/setup/clients.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { onPath } from '../helpers/clients/client.ts';

const ANSIBLE = join(import.meta.dirname, '..', '..', 'deploy', 'ansible');
const ROLE = join(ANSIBLE, 'roles', 'damselfly');
const UNITS = join(ANSIBLE, '..', 'systemd');

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));

t.test('every file is YAML, and the variables are those of the defaults', async (t) => {
  const texts = filesIn(ANSIBLE);
  for (const text of texts) t.doesNotThrow(() => void parse(text));
  const known = Object.keys(parse(readFileSync(join(ROLE, 'defaults', 'main.yaml'), 'utf8')) as object);
  const own = texts.flatMap((text) => [...text.matchAll(/register: (\w+)/g)].map(([, name = '']) => name));
  const used = new Set(texts.flatMap((text) => [...text.matchAll(/\bdamselfly_\w+/g)].map(([name]) => name)));
  // A file name of the package, not a variable.
  used.delete('damselfly_0');
  for (const role of ['supernode', 'node']) t.ok(known.includes(`damselfly_${role}_join_token`));
  t.same(
    [...used].filter((name) => !known.includes(name) && !own.includes(name)),
    [],
  );
  t.same(
    known.filter((name) => !used.has(name)),
    [],
    'none is for nothing',
  );
});

t.test('units and clients are those that there are', async (t) => {
  const tasks = filesIn(ROLE).join('\n');
  const units = [...tasks.matchAll(/name: (\S+\.service)/g)].map(([, name = '']) => name);
  t.ok(units.length >= 6);
  for (const unit of units) t.ok(readdirSync(UNITS).includes(unit), unit);
  const [, list = ''] = /ask its mirror: (.+)\.$/m.exec(tasks) ?? [];
  t.same(list.split(', ').sort(), SETUP_CLIENTS.map(({ name }) => name).sort());
});

const skip = onPath('ansible-playbook') === undefined && 'no ansible-playbook';
t.test('Ansible takes the playbook and the example inventory', { skip }, async (t) => {
  const args = ['--syntax-check', '--inventory', 'inventory.example.yaml', 'site.yaml'];
  const { status, stderr, stdout } = spawnSync('ansible-playbook', args, { cwd: ANSIBLE, encoding: 'utf8' });
  t.equal(status, 0, `${stdout}${stderr}`);
});

t.test('a tracker without identities is asked where it answers', { skip, timeout: 60_000 }, async (t) => {
  const anyPort = { host: '127.0.0.1', port: 0 };
  const tracker = await createTracker(
    { log: silentLog(), clock: new FakeClock(), rng: createRng(1) },
    { listen: anyPort, httpListen: anyPort, processMetrics: false },
  );
  t.teardown(() => tracker.close());
  const { port } = tracker.controlAddress;
  const playbook = join(t.testdir(), 'ready.yaml');
  const vars = {
    damselfly_roles: ['tracker'],
    damselfly_tracker_settings: { insecure: true, listen: `127.0.0.1:${port}` },
    ...{ damselfly_supernode_settings: {}, damselfly_node_settings: {}, damselfly_ready_seconds: 1 },
  };
  const tasks = [{ 'ansible.builtin.include_tasks': join(ROLE, 'tasks', 'ready.yaml') }];
  writeFileSync(playbook, stringify([{ hosts: 'localhost', gather_facts: false, vars, tasks }]));
  const python = ['--extra-vars', 'ansible_python_interpreter=/usr/bin/python3'];
  const local = ['--inventory', 'localhost,', '--connection', 'local', ...python];
  const { code, output } = await run('ansible-playbook', [...local, playbook]);
  t.equal(code, 0, output);
});
