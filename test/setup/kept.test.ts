import fc from 'fast-check';
import t from 'tap';
import { planSetup, planUndo } from '../../dfget/setup/apply.ts';
import { buildkitSetup } from '../../dfget/setup/buildkit.ts';
import type { SetupClient } from '../../dfget/setup/client.ts';
import { containerdSetup } from '../../dfget/setup/containerd.ts';
import { dockerSetup } from '../../dfget/setup/docker.ts';
import { k3sSetup } from '../../dfget/setup/k3s.ts';
import type { MachineFiles } from '../../dfget/setup/machine-files.ts';
import { podmanSetup } from '../../dfget/setup/registries-conf.ts';
import { tomlOutline } from '../../dfget/setup/toml-outline.ts';
import { hasCode } from '../../lib/core/errors.ts';
import { registry } from './memory-view.ts';

/** The files of a machine, in memory; folders are what the paths of files show. */
function memoryFiles(given: Readonly<Record<string, Buffer>>): {
  files: MachineFiles;
  at: Map<string, Buffer>;
} {
  const at = new Map(Object.entries(given));
  const rights = { mode: 0o644, uid: 0, gid: 0 };
  const under = (folder: string): string[] => [...at.keys()].filter((path) => path.startsWith(`${folder}/`));
  const files: MachineFiles = {
    read: (path) => {
      const bytes = at.get(path);
      return bytes === undefined ? undefined : { bytes, rights };
    },
    list: (folder) =>
      [...new Set(under(folder).map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))].sort(),
    missingFolders: () => [],
    write: (path, bytes) => void at.set(path, bytes),
    remove: (path) => void at.delete(path),
    removeFolder: () => {},
    removeTree: (folder) => {
      for (const path of under(folder)) at.delete(path);
    },
  };
  return { files, at };
}

/** Whether `part` can be made of `whole` by leaving things out. */
function isWithin<T>(part: readonly T[], whole: readonly T[]): boolean {
  let at = 0;
  for (const each of whole) if (at < part.length && part[at] === each) at++;
  return at === part.length;
}

const comment = fc.constantFrom('', '# a comment', '   # [host."x"]', '\t');
const word = fc.constantFrom('a', 'b', '"c.d"', "'e f'", 'mirrors', 'server');
const value = fc.constantFrom(
  '1',
  'true',
  '"[x]"',
  "'#'",
  '[1, [2]] # c',
  '[\n  "a", # ]\n]',
  '"""\n[t]\n"""',
  '{ a = "}" }',
);
const tomlLine = (headers: readonly string[]) =>
  fc.oneof(
    comment,
    fc.tuple(word, value).map(([key, text]) => `${key} = ${text}`),
    fc.constantFrom(...headers),
  );
const toml = (headers: readonly string[]) =>
  fc
    .tuple(fc.array(tomlLine(headers), { maxLength: 25 }), fc.boolean(), fc.boolean())
    .map(
      ([lines, windows, open]) =>
        lines.join('\n').replaceAll('\n', windows ? '\r\n' : '\n') + (open ? '' : '\n'),
    );
const jsonText = fc
  .tuple(
    fc.dictionary(
      fc.constantFrom('registry-mirrors', 'a', 'log "x"', '{'),
      fc.oneof(fc.array(fc.string()), fc.json(), fc.integer()),
    ),
    fc.constantFrom(undefined, 2, '\t'),
  )
  .map(([object, indent]) => `${JSON.stringify(object, null, indent)}\n`);
const yamlText = fc
  .tuple(
    fc.dictionary(
      fc.constantFrom('docker.io', 'harbor.corp', 'quay.io'),
      fc.constantFrom(
        '{endpoint: [x]}',
        '\n    endpoint:\n    - "x" # y\n    - z',
        '\n    rewrite: {a: b}',
        '\n      endpoint: ["x",\n        "y"]',
      ),
    ),
    fc.constantFrom('', '# head\n', 'configs:\n  x: {tls: {ca_file: /x}}\n', '---\n'),
    fc.constantFrom('', '\n# tail', '\n...\n'),
  )
  .map(([mirrors, head, tail]) => {
    const entries = Object.entries(mirrors).map(([name, text]) => `  ${name}: ${text}\n`);
    return `${head}${entries.length > 0 ? `mirrors:\n${entries.join('')}` : ''}${tail}`;
  });

const CRI = 'plugins."io.containerd.grpc.v1.cri"';
const cases: readonly { client: SetupClient; path: string; text: fc.Arbitrary<string>; isToml: boolean }[] = [
  {
    client: containerdSetup,
    path: '/etc/containerd/config.toml',
    text: toml([
      `[${CRI}]`,
      `[${CRI}.registry]`,
      `[ ${CRI} . registry ] # x`,
      `[${CRI}.registry.mirrors]`,
      '[[x]]',
      'version = 2',
    ]),
    isToml: true,
  },
  {
    client: containerdSetup,
    path: '/etc/containerd/certs.d/harbor.corp/hosts.toml',
    text: toml([
      '[host."https://old"]',
      '[host."http://127.0.0.1:65001"]',
      '[host."https://x".header]',
      'server = "https://harbor.corp"',
    ]),
    isToml: true,
  },
  {
    client: podmanSetup,
    path: '/etc/containers/registries.conf',
    text: toml([
      '[[registry]]',
      'prefix = "harbor.corp"',
      'location = "harbor.corp"',
      '[[registry.mirror]]',
      '[aliases]',
    ]),
    isToml: true,
  },
  {
    client: buildkitSetup,
    path: '/etc/buildkit/buildkitd.toml',
    text: toml([
      '[registry."harbor.corp"]',
      '[registry."127.0.0.1:65001"]',
      'mirrors = ["x"]',
      '[worker.oci]',
    ]),
    isToml: true,
  },
  { client: dockerSetup, path: '/etc/docker/daemon.json', text: jsonText, isToml: false },
  { client: k3sSetup, path: '/etc/rancher/k3s/registries.yaml', text: yamlText, isToml: false },
];
const wanted = [registry('harbor.corp'), registry('docker.io')];

for (const { client, isToml, path, text } of cases) {
  t.test(`${client.name}: whatever stands in ${path} is kept, and comes back byte for byte`, async (t) => {
    let done = 0;
    fc.assert(
      fc.property(text, (before) => {
        const { files, at } = memoryFiles({ [path]: Buffer.from(before) });
        const start = new Map(at);
        try {
          planSetup(files, client, wanted).carryOut();
        } catch (error) {
          // Refusing is safe, as long as nothing was touched.
          if (hasCode(error, 'SETUP_REFUSED')) return isSame(at, start);
          throw error;
        }
        done++;
        const after = at.get(path)?.toString() ?? '';
        if (!isWithin([...before], [...after])) return false;
        if (isToml && !isWithin(outlineOf(before), outlineOf(after))) return false;
        if (planSetup(files, client, wanted).files.length > 0) return false;
        planUndo(files, client).carryOut();
        return isSame(at, start);
      }),
      { seed: 7, numRuns: 400 },
    );
    t.ok(done > 50, `${done} of 400 were set up, the others refused untouched`);
  });
}

function isSame(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([path, bytes]) => b.get(path)?.equals(bytes));
}

/** Tables and values as they are read; arrays by their place only, since a mirror is put into some. */
function outlineOf(text: string): string[] {
  return tomlOutline(text).map((item) =>
    item.kind === 'header' || item.text.startsWith('[')
      ? `${item.kind} ${item.path.join('\0')}`
      : `${item.path.join('\0')} = ${item.text}`,
  );
}
