import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { planSetup, planUndo } from '../../dfget/setup/apply.ts';
import { buildkitSetup } from '../../dfget/setup/buildkit.ts';
import { containerdSetup } from '../../dfget/setup/containerd.ts';
import { dockerSetup } from '../../dfget/setup/docker.ts';
import { createMachineFiles, type MachineFiles } from '../../dfget/setup/machine-files.ts';
import { registry } from './memory-view.ts';

const CONFIG = '/etc/containerd/config.toml';
const HOSTS = '/etc/containerd/certs.d/harbor.corp/hosts.toml';
const KEPT = '/var/lib/damselfly/setup/containerd';
const OLD = 'version = 2\r\n# mine, without a line break at the end';
const harbor = [registry('harbor.corp')];

interface Machine {
  readonly root: string;
  readonly files: MachineFiles;
  write(path: string, text: string | Buffer): void;
  /** Every path with its mode, and what it holds. */
  everything(): Record<string, string>;
}

function createMachine(t: Test): Machine {
  const root = mkdtempSync(join(tmpdir(), 'damselfly-machine-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  mkdirSync(join(root, 'etc'));
  return {
    root,
    files: createMachineFiles(root),
    write(path, text) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    },
    everything() {
      const entries = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => {
        const stat = lstatSync(join(root, path));
        const holds = stat.isFile() ? readFileSync(join(root, path)).toString('base64') : '';
        return [path, `${stat.mode.toString(8)} ${holds}`] as const;
      });
      return Object.fromEntries(entries);
    },
  };
}

/** Does it with files that take so many writes. @returns whether it was stopped by that */
function stopsAfter(writes: number, files: MachineFiles, action: (files: MachineFiles) => void): boolean {
  let left = writes;
  const stopped = new Error('power is gone');
  try {
    action({
      ...files,
      write: (...args) => {
        if (left-- === 0) throw stopped;
        files.write(...args);
      },
    });
    return false;
  } catch (error) {
    if (error === stopped) return true;
    throw error;
  }
}

t.test('undo puts back every byte, mode and folder', async (t) => {
  const machine = createMachine(t);
  machine.write(CONFIG, OLD);
  chmodSync(join(machine.root, CONFIG), 0o640);
  const before = machine.everything();
  planSetup(machine.files, containerdSetup, harbor).carryOut();
  t.match(machine.files.read(HOSTS)?.bytes.toString(), /65001/);
  t.equal(statSync(join(machine.root, CONFIG)).mode & 0o777, 0o640, 'a changed file keeps its mode');
  t.equal(
    statSync(join(machine.root, KEPT, 'record.json')).mode & 0o077,
    0,
    'what is kept is nobody else’s to read',
  );
  planUndo(machine.files, containerdSetup).carryOut();
  t.same(machine.everything(), before);
  t.same(planUndo(machine.files, containerdSetup).files, [], 'then there is nothing to undo');
});

t.test('two clients are undone in any order', async (t) => {
  const machine = createMachine(t);
  const before = machine.everything();
  planSetup(machine.files, containerdSetup, harbor).carryOut();
  planSetup(machine.files, buildkitSetup, harbor).carryOut();
  planUndo(machine.files, containerdSetup).carryOut();
  t.match(machine.files.read('/etc/buildkit/buildkitd.toml')?.bytes.toString(), /65001/);
  planUndo(machine.files, buildkitSetup).carryOut();
  t.same(machine.everything(), before);
});

t.test('planning alone changes nothing; a second setup neither', async (t) => {
  const machine = createMachine(t);
  machine.write(CONFIG, OLD);
  const before = machine.everything();
  const planned = planSetup(machine.files, containerdSetup, harbor);
  t.same(machine.everything(), before);
  planned.carryOut();
  const once = machine.everything();
  const again = planSetup(machine.files, containerdSetup, harbor);
  t.same(again.files, []);
  again.carryOut();
  t.same(machine.everything(), once);
});

t.test('another setup takes the place of the first, and is undone to what was before both', async (t) => {
  const machine = createMachine(t);
  machine.write(CONFIG, OLD);
  const before = machine.everything();
  planSetup(machine.files, containerdSetup, harbor).carryOut();
  planSetup(machine.files, containerdSetup, [registry('quay.io', { mirror: '127.0.0.1:7' })]).carryOut();
  t.equal(machine.files.read(HOSTS), undefined, 'what is no longer wanted is gone');
  t.match(
    machine.files.read('/etc/containerd/certs.d/quay.io/hosts.toml')?.bytes.toString(),
    /127\.0\.0\.1:7"/,
  );
  planUndo(machine.files, containerdSetup).carryOut();
  t.same(machine.everything(), before);
});

t.test('what somebody changed since is not undone, nor set up anew, and it is said what to do', async (t) => {
  const machine = createMachine(t);
  machine.write(CONFIG, OLD);
  const before = machine.everything();
  planSetup(machine.files, containerdSetup, harbor).carryOut();
  const edited = `${machine.files.read(CONFIG)?.bytes.toString() ?? ''}[metrics]\n`;
  machine.write(CONFIG, edited);
  const changed = machine.everything();
  let message = '';
  t.throws(
    () => {
      try {
        planUndo(machine.files, containerdSetup);
      } catch (error) {
        message = (error as Error).message;
        throw error;
      }
    },
    { code: 'SETUP_REFUSED', message: /was changed after setup wrote it/ },
  );
  t.same(machine.everything(), changed, 'nothing is done, to no file');

  t.same(
    planSetup(machine.files, containerdSetup, harbor).files,
    [],
    'the edit is no reason to set up again',
  );
  planSetup(machine.files, containerdSetup, [...harbor, registry('quay.io')]).carryOut();
  t.equal(machine.files.read(CONFIG)?.bytes.toString(), edited, 'a file that needs no change keeps the edit');

  // The way that the message shows.
  const [, from = '', to = ''] = /: cp (\S+) (\S+), then/.exec(message) ?? [];
  t.equal(to, CONFIG);
  machine.write(to, machine.files.read(from)?.bytes ?? '');
  planUndo(machine.files, containerdSetup).carryOut();
  t.same(Object.keys(machine.everything()), Object.keys(before));
  t.equal(machine.files.read(CONFIG)?.bytes.toString(), OLD);
});

t.test('a file that was edited since and needs another change is left alone', async (t) => {
  const machine = createMachine(t);
  const [one, two] = ['127.0.0.1:1', '127.0.0.1:2'].map((mirror) => [registry('harbor.corp', { mirror })]);
  planSetup(machine.files, buildkitSetup, one ?? []).carryOut();
  const path = '/etc/buildkit/buildkitd.toml';
  machine.write(path, `${machine.files.read(path)?.bytes.toString() ?? ''}# mine\n`);
  t.throws(() => planSetup(machine.files, buildkitSetup, two ?? []), {
    code: 'SETUP_REFUSED',
    message: /rm \/etc/,
  });
});

t.test('stopped after any write, setup can be undone, and can be done again', async (t) => {
  for (let writes = 0; ; writes++) {
    const machine = createMachine(t);
    machine.write(CONFIG, OLD);
    const before = machine.everything();
    const stopped = stopsAfter(writes, machine.files, (files) => {
      planSetup(files, containerdSetup, [...harbor, registry('quay.io')]).carryOut();
    });
    planSetup(machine.files, containerdSetup, harbor).carryOut();
    t.match(machine.files.read(HOSTS)?.bytes.toString(), /65001/);
    planUndo(machine.files, containerdSetup).carryOut();
    t.same(machine.everything(), before, `${writes} writes`);
    if (!stopped) break;
  }
});

const later = [
  [registry('harbor.corp', { mirror: '127.0.0.1:2' }), registry('quay.io')],
  [registry('quay.io')],
];
for (const wishes of later) {
  const names = wishes.map(({ name }) => name).join(' and ');
  t.test(`stopped in a later setup for ${names}, everything can still be undone`, async (t) => {
    for (let writes = 0; ; writes++) {
      const machine = createMachine(t);
      machine.write(CONFIG, OLD);
      const before = machine.everything();
      planSetup(machine.files, containerdSetup, harbor).carryOut();
      const stopped = stopsAfter(writes, machine.files, (files) => {
        planSetup(files, containerdSetup, wishes).carryOut();
      });
      planUndo(machine.files, containerdSetup).carryOut();
      t.same(machine.everything(), before, `${writes} writes`);
      if (!stopped) break;
    }
  });
}

t.test('links are followed to the file that they mean, but not out of the root', async (t) => {
  const machine = createMachine(t);
  machine.write('/srv/daemon.json', '{}');
  mkdirSync(join(machine.root, 'etc/docker'));
  const link = join(machine.root, 'etc/docker/daemon.json');
  symlinkSync('../../srv/daemon.json', link);
  planSetup(machine.files, dockerSetup, [registry('docker.io')]).carryOut();
  t.ok(lstatSync(link).isSymbolicLink(), 'it is still a link');
  t.match(readFileSync(join(machine.root, 'srv/daemon.json'), 'utf8'), /65001/);
  planUndo(machine.files, dockerSetup).carryOut();
  t.equal(readFileSync(link, 'utf8'), '{}');
  rmSync(link);
  symlinkSync('/etc/hostname', link);
  t.throws(() => planSetup(machine.files, dockerSetup, [registry('docker.io')]), {
    code: 'SETUP_REFUSED',
    message: /leads out of/,
  });
  rmSync(link);
  symlinkSync('nothing', link);
  t.throws(() => planSetup(machine.files, dockerSetup, [registry('docker.io')]), {
    code: 'SETUP_REFUSED',
    message: /link to a file that is not there/,
  });
});

t.test('what is not text is refused', async (t) => {
  const machine = createMachine(t);
  machine.write('/etc/docker/daemon.json', Buffer.from([0x7b, 0xff, 0x7d]));
  t.throws(() => planSetup(machine.files, dockerSetup, [registry('docker.io')]), { message: /UTF-8/ });
});

t.test('a copy that was tampered with is not put back', async (t) => {
  const machine = createMachine(t);
  machine.write(CONFIG, OLD);
  planSetup(machine.files, containerdSetup, harbor).carryOut();
  machine.write(`${KEPT}/original/%2Fetc%2Fcontainerd%2Fconfig.toml`, 'other');
  t.throws(() => planUndo(machine.files, containerdSetup), {
    code: 'SETUP_REFUSED',
    message: /missing or damaged/,
  });
});

t.test('a root that is not there is a wrong setting', async (t) => {
  t.throws(() => createMachineFiles('/no/such/root'), { code: 'CONFIG_INVALID' });
});
