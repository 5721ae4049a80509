import { type ConfigView, type PlannedFile, type SetupClient, WRITTEN_BY } from './client.ts';
import { planHosts } from './hosts-toml.ts';
import { refuse } from './refuse.ts';
import { applyEdits, linesAtEnd, type TextEdit } from './text-edit.ts';
import {
  headerAt,
  isInline,
  openToml,
  quoted,
  startsWithPath,
  stringOf,
  stringsOf,
  type TomlFile,
  underHeader,
  valueAt,
} from './toml-edit.ts';

const CONTAINERD_CONFIG = '/etc/containerd/config.toml';
const CERTS_FOLDER = '/etc/containerd/certs.d';

/** containerd: a hosts.toml a registry, and in config.toml the config_path that makes its CRI plugin read them. */
export const containerdSetup: SetupClient = {
  name: 'containerd',
  configuration: 'containerd',
  restart: ['systemctl', 'restart', 'containerd'],
  plan(view, registries) {
    const { folder, file, notes } = planConfigPath(view);
    return { files: [file, ...registries.map((registry) => planHosts(view, folder, registry))], notes };
  },
};

/** The table of the CRI plugin's registry settings, by the version of the configuration. */
function registryTable(version: string | undefined): readonly string[] {
  if (version === '3') return ['plugins', 'io.containerd.cri.v1.images', 'registry'];
  if (version === '2') return ['plugins', 'io.containerd.grpc.v1.cri', 'registry'];
  return ['plugins', 'cri', 'registry'];
}

function planConfigPath(view: ConfigView): { folder: string; file: PlannedFile; notes: string[] } {
  const before = view.read(CONTAINERD_CONFIG);
  const planned = (text: string): PlannedFile => ({
    path: CONTAINERD_CONFIG,
    text,
    needsRestart: true,
    lack: 'it has no config_path, so that Kubernetes pulls ignore every hosts.toml',
  });
  if (before === undefined) {
    // Version 2 is understood by every containerd from 1.3 to 2.x.
    const table = `[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = ${quoted(CERTS_FOLDER)}\n`;
    return { folder: CERTS_FOLDER, file: planned(`${WRITTEN_BY}\nversion = 2\n\n${table}`), notes: [] };
  }
  const file = openToml(CONTAINERD_CONFIG, before);
  const table = registryTable(valueAt(file, ['version'])?.text);
  const notes = notesOn(file);
  const present = valueAt(file, [...table, 'config_path']);
  const named = stringOf(present);
  if (present !== undefined && named === undefined) refuse(file.path, 'config_path is not a string');
  // Several folders stand with colons between them; the first one that knows the registry counts.
  const first = named?.split(':')[0];
  if (first !== undefined && first !== '') return { folder: first, file: planned(before), notes };
  requireNoMirrors(file, table);
  const setting = `config_path = ${quoted(CERTS_FOLDER)}`;
  const header = headerAt(file, table);
  let edit: TextEdit;
  if (present !== undefined) {
    edit = { start: present.valueStart, end: present.end, text: quoted(CERTS_FOLDER) };
  } else if (header !== undefined) {
    edit = underHeader(file, header, `${indentOf(file.text, header.start)}  ${setting}`);
  } else if (isInline(file, table)) {
    refuse(file.path, `write the settings of ${table.join('.')} under a header of their own`);
  } else {
    const [plugins = '', plugin = '', registry = ''] = table;
    edit = linesAtEnd(before, [`[${plugins}.${quoted(plugin)}.${registry}]`, `  ${setting}`]);
  }
  return { folder: CERTS_FOLDER, file: planned(applyEdits(before, [edit])), notes };
}

/** containerd does not start its CRI plugin when config_path stands beside the older way to name mirrors. */
function requireNoMirrors(file: TomlFile, table: readonly string[]): void {
  const old = file.items.find(
    ({ path }) =>
      (startsWithPath(path, [...table, 'mirrors']) && path.length > table.length + 1) ||
      (startsWithPath(path, [...table, 'configs']) && path.includes('tls')),
  );
  if (old === undefined) return;
  refuse(
    file.path,
    `containerd does not take config_path beside [${old.path.join('.')}]: move that into ${CERTS_FOLDER}/REGISTRY/hosts.toml, then run this again`,
  );
}

function notesOn(file: TomlFile): string[] {
  const notes: string[] = [];
  const disabled = valueAt(file, ['disabled_plugins']);
  if (
    disabled !== undefined &&
    stringsOf(disabled).some((name) => /^(?:cri|io\.containerd\.grpc\.v1\.cri)$/.test(name))
  ) {
    notes.push(`${file.path} disables the CRI plugin: Kubernetes cannot use this containerd`);
  }
  const imports = valueAt(file, ['imports']);
  if (imports !== undefined && stringsOf(imports).length > 0) {
    notes.push(
      `${file.path} imports other files, which were not looked at: none of them may set config_path`,
    );
  }
  return notes;
}

function indentOf(text: string, at: number): string {
  return /[ \t]*$/.exec(text.slice(text.lastIndexOf('\n', at - 1) + 1, at))?.[0] ?? '';
}
