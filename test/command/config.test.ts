import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { run } from '../../bench/fixtures/child.ts';
import { createJoinToken } from '../../lib/security/join-token.ts';
import { initAuthority } from '../../lib/security/system/authority-folder.ts';

const BIN = join(import.meta.dirname, '../../bin');

const damselfly = (...args: string[]) => run(join(BIN, 'damselfly'), args);

/** How a process is started for which no port, folder or other machine matters. */
function start(name: string, file: string, folder: string) {
  const [program, ports] =
    name === 'daemon'
      ? ['dfget', ['--proxy-listen', '--peer-listen', '--admin-listen']]
      : name === 'supernode'
        ? ['damselfly', ['--peer-listen', '--admin-listen']]
        : ['damselfly', ['--listen', '--http-listen']];
  const flags = ports.flatMap((flag) => [flag, '127.0.0.1:0']);
  const socket = name === 'daemon' ? ['--socket', join(folder, 'socket')] : [];
  const data = ['--data-dir', join(folder, 'data')];
  return run(join(BIN, program ?? ''), [name, '--config', file, ...flags, ...socket, ...data]);
}

t.test('a check says what the start would say', async (t) => {
  const folder = t.testdir({ short: 'x\n', word: 'not PEM', 'wrong.json': '{' });
  const authority = await initAuthority(join(folder, 'ca'), { cluster: 'test', nowMs: Date.now() });
  const expiresAtMs = Date.now() + 3_600_000;
  const token = createJoinToken(authority, { role: 'node', expiresAtMs });
  const upstream = ['a.corp=https://a.corp'];
  const at = (name: string): string => join(folder, name);
  const wrong: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['daemon', { zone: 'a b', 'upload-rate': 3 }],
    ['daemon', { upstream, 'default-upstream': 'b.corp' }],
    ['daemon', { upstream, 'offline-registry': 'a.corp' }],
    ['daemon', { upstream: [...upstream, ...upstream] }],
    ['daemon', { 'auth-file': at('wrong.json') }],
    ['daemon', { 'proxy-tls-cert': at('word'), 'proxy-tls-key': at('word') }],
    ['daemon', { 'store-low': '90%', 'store-high': '80%' }],
    ['daemon', { 'tags-when-down': 'stale' }],
    ['supernode', { 'join-token': token, tracker: ['wss://127.0.0.1:1'] }],
    ['supernode', { 'join-token': 'abc', tracker: ['wss://127.0.0.1:1'] }],
    ['supernode', { 'tls-cert': at('word') }],
    ['supernode', { upstream: [{ name: 'a.corp', url: 'https://a.corp', ca: at('nowhere') }] }],
    ['supernode', { 'zone-file': at('word') }],
    ['tracker', { insecure: true, 'api-key-file': at('word') }],
    ['tracker', { insecure: true, 'admin-token-file': at('short') }],
    ['tracker', { nonsense: 1 }],
  ];
  for (const [index, [name, settings]] of wrong.entries()) {
    const file = at(`${index}.yaml`);
    writeFileSync(file, stringify(settings));
    const checked = await damselfly('config', 'check', name, '--config', file, '--json');
    const said = JSON.parse(checked.stdout) as { error?: { code: string; message: string } };
    t.match({ code: checked.code, said }, { code: 2, said: { error: { code: 'CONFIG_INVALID' } } });
    const started = await start(name, file, at(`folder-${index}`));
    t.equal(started.code, 2, stringify(settings));
    t.match(started.output, said.error?.message ?? 'nothing', stringify(settings));
  }
});

t.test(
  'a check of settings that are right names their file, and what would be said at each start',
  async (t) => {
    const folder = t.testdir({ 'up.yaml': 'upstream: [a.corp=https://a.corp]\n' });
    const file = join(folder, 'up.yaml');
    const right = await damselfly('config', 'check', 'up', '--config', file);
    t.match(right, { code: 0, stdout: `up: its settings are right (${file}; 1 set, the rest defaults)\n` });
    const flags = ['--', '--proxy-listen', '0.0.0.0:65001', '--plain-proxy'];
    const { code, stdout } = await damselfly('config', 'check', 'up', '--json', '--config', file, ...flags);
    t.equal(code, 0);
    t.match(JSON.parse(stdout), {
      ...{ process: 'up', file, ok: true, set: ['upstream', 'proxy-listen', 'plain-proxy'] },
      notes: [/^plain-proxy: other machines reach 0\.0\.0\.0:65001 without TLS/],
    });
    const missing = await damselfly('config', 'check', 'daemon', '--config', join(folder, 'nowhere.yaml'));
    t.match(missing, { code: 2, output: /cannot read the config file/ });
  },
);

t.test('words that are no settings end with the code of a wrong word', async (t) => {
  t.match(await damselfly('config', 'check', 'daemon', '--', '--bogus'), { code: 2, output: /--bogus/ });
  t.match(await damselfly('config', 'print', 'nobody'), { code: 2, output: /Allowed choices are daemon/ });
});

t.test('what is printed is a settings file', async (t) => {
  const folder = t.testdir({ 'tracker.yaml': 'peer-store: redis://:hush@redis.corp:6379\n' });
  const file = join(folder, 'tracker.yaml');
  const asked = ['config', 'print', 'tracker', '--config', file];
  const { code, stdout } = await damselfly(...asked, '--', '--log-level', 'debug');
  t.equal(code, 0);
  t.match(
    stdout,
    `# ${file}\npeer-store: redis://[secret]@redis.corp:6379\n\n# --log-level\nlog-level: debug\n`,
  );
  const json = JSON.parse((await damselfly(...asked, '--json')).stdout) as { settings: { name: string }[] };
  t.match(
    json.settings.find(({ name }) => name === 'peer-store'),
    { value: 'redis://[secret]@redis.corp:6379', from: file },
  );
});
