import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { type Child, jsonReady, run } from '../../bench/fixtures/child.ts';
import { type BorrowedMachine, borrowMachine } from '../helpers/borrowed-machine.ts';
import { skipReason } from '../helpers/clients/client.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const ANSIBLE = join(ROOT, 'deploy', 'ansible');
const skip = skipReason({ programs: ['ansible-playbook', 'dpkg-deb', 'unshare', 'nsenter', 'containerd'] });
const READY_SECONDS = 60;
const HOSTS_TOML = '/etc/containerd/certs.d/registry.test/hosts.toml';

/** What systemd would start: the unit's command as its user, with its environment and folders. */
async function startUnit(
  machine: BorrowedMachine,
  unit: string,
  name: string,
  folder: string,
): Promise<Child<object>> {
  const text = readFileSync(join(ROOT, 'deploy', 'systemd', `${unit}.service`), 'utf8');
  const field = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  const user = field('User');
  for (const path of ['/var/lib/damselfly', '/run/damselfly']) {
    await machine.run('install', '--directory', '--mode', '0700', '--owner', user, '--group', user, path);
  }
  const identity = [
    'setpriv',
    '--reuid',
    user,
    '--regid',
    user,
    '--init-groups',
    '--no-new-privs',
    '--bounding-set=-all',
  ];
  const words = [...field('Environment').split(' '), ...identity, ...field('ExecStart').split(' '), '--json'];
  return machine.start(words, { logFile: join(folder, `${unit}.log`), ready: jsonReady<object>(name) });
}

t.test(
  'the role makes a machine what it says, twice without a change, and takes clients back',
  { skip },
  async (t) => {
    const out = mkdtempSync(join(tmpdir(), 'damselfly-ansible-'));
    const started: Child<object>[] = [];
    const main = join(ROOT, 'scripts', 'packages', 'main.ts');
    const { code, output, stdout } = await run(process.execPath, [
      main,
      '--out',
      join(out, 'dist'),
      '--only',
      'deb-amd64',
    ]);
    t.equal(code, 0, output);
    const caDir = join(out, 'ca');
    const damselfly = async (...words: string[]): Promise<string> =>
      (await run(join(ROOT, 'bin', 'damselfly'), [...words, '--ca-dir', caDir])).stdout.trim();
    await damselfly('ca', 'init');
    const variables = {
      damselfly_roles: ['tracker', 'supernode', 'node'],
      damselfly_package: join(process.cwd(), stdout.trim()),
      damselfly_trackers: ['wss://127.0.0.1:8400'],
      damselfly_upstreams: [{ name: 'registry.test', url: 'http://127.0.0.1:5000' }],
      damselfly_ca_dir: caDir,
      damselfly_supernode_join_token: await damselfly('token', 'create', '--role', 'supernode'),
      damselfly_node_join_token: await damselfly('token', 'create', '--role', 'node'),
      damselfly_node_settings: { 'store-max': '1GiB' },
      damselfly_clients: ['containerd'],
    };
    mkdirSync(join(out, 'vars'));
    writeFileSync(join(out, 'vars', 'all.yaml'), stringify(variables));
    writeFileSync(
      join(out, 'vars', 'undone.yaml'),
      stringify({ ...variables, damselfly_clients: [], damselfly_clients_undone: ['containerd'] }),
    );
    const wrong = { 'default-upstream': 'nowhere.test' };
    writeFileSync(
      join(out, 'vars', 'wrong.yaml'),
      stringify({ ...variables, damselfly_clients: [], damselfly_node_settings: wrong }),
    );
    const hosts = { damselfly: {} };
    const inventory = { trackers: { hosts }, supernodes: { hosts }, nodes: { hosts } };
    writeFileSync(join(out, 'vars', 'inventory.yaml'), stringify(inventory));
    const machine = await borrowMachine(out, [ANSIBLE, join(out, 'dist'), caDir, join(out, 'vars')]);
    t.teardown(async () => {
      for (const child of started.reverse()) await child.stop();
      await machine.stop();
      rmSync(out, { recursive: true, force: true });
    });
    const before = await machine.run(
      'find',
      '/etc/containerd',
      '-type',
      'f',
      '-exec',
      'sha256sum',
      '{}',
      '+',
    );
    /** What a run of the playbook has changed. @param readySeconds 0: no process runs yet */
    const play = async (vars: string, readySeconds = 0, ...more: string[]): Promise<number | string> => {
      const flags = [
        '--inventory',
        join(out, 'vars', 'inventory.yaml'),
        '--connection',
        'local',
        '--extra-vars',
        `@${join(out, 'vars', vars)}`,
      ];
      const python = [
        '--extra-vars',
        'ansible_python_interpreter=/usr/bin/python3',
        '--extra-vars',
        'ansible_become=false',
        ...['--extra-vars', JSON.stringify({ damselfly_ready_seconds: readySeconds })],
      ];
      const ansible = ['SYSTEMD_OFFLINE=1', 'ANSIBLE_FORCE_COLOR=0', 'ansible-playbook', ...flags, ...python];
      const played = await machine.run(...ansible, ...more, join(ANSIBLE, 'site.yaml'));
      const [, changed] = /ok=\d+ +changed=(\d+) +unreachable=0 +failed=0/.exec(played.output) ?? [];
      return played.code === 0 ? Number(changed) : played.output;
    };
    const first = await play('all.yaml');
    t.ok(typeof first === 'number' && first >= 6, `the first run changes much: ${first}`);
    t.equal(await play('all.yaml'), 0, 'the second one nothing');
    t.equal(await play('all.yaml', 0, '--check', '--diff'), 0, 'and so a run that only looks says');

    t.match((await machine.run('dfget', '--version')).stdout, /^\d/);
    t.match((await machine.run('cat', HOSTS_TOML)).stdout, /127\.0\.0\.1:65001/);
    t.match(
      (await machine.run('stat', '--format', '%a %U %G', '/etc/damselfly/daemon.yaml')).stdout,
      /^640 root damselfly$/m,
    );
    t.match(
      (await machine.run('stat', '--format', '%a %U', '/var/lib/damselfly/ca/ca.key')).stdout,
      /^600 damselfly$/m,
    );
    for (const unit of ['damselfly-tracker', 'damselfly-supernode', 'dfget-daemon']) {
      const enabled = await machine.run('SYSTEMD_OFFLINE=1', 'systemctl', 'is-enabled', `${unit}.service`);
      t.equal(enabled.stdout.trim(), 'enabled', unit);
    }

    started.push(await startUnit(machine, 'damselfly-tracker', 'tracker', out));
    started.push(await startUnit(machine, 'damselfly-supernode', 'supernode', out));
    started.push(await startUnit(machine, 'dfget-daemon', 'daemon', out));
    const status = await machine.run(
      'dfget',
      'status',
      '--json',
      '--socket',
      '/run/damselfly/damselfly.sock',
    );
    t.match(JSON.parse(status.stdout), {
      cluster: 'damselfly',
      tracker: { reachable: true },
      upstreams: ['registry.test'],
    });

    t.equal(await play('all.yaml', READY_SECONDS), 0, 'all of them are ready');
    await started.splice(1, 1)[0]?.stop();
    t.match(await play('all.yaml', 1), /item=supernode/, 'one that is not ends the run');

    t.equal(await play('undone.yaml'), 1, 'clients are taken back');
    t.equal(await play('undone.yaml'), 0);
    const after = await machine.run('find', '/etc/containerd', '-type', 'f', '-exec', 'sha256sum', '{}', '+');
    t.equal(after.stdout, before.stdout, 'their files are as they were, byte for byte');

    t.match(await play('wrong.yaml'), /CONFIG_INVALID: .*nowhere\.test.* is not among/, 'says what is wrong');
  },
);
