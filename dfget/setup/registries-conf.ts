import {
  type ConfigView,
  type PlannedFile,
  type SetupClient,
  type SetupPlan,
  type WantedRegistry,
  WRITTEN_BY,
} from './client.ts';
import { refuse } from './refuse.ts';
import { applyEdits, linesAfter, type TextEdit } from './text-edit.ts';
import { openToml, quoted, samePath, stringOf, type TomlFile } from './toml-edit.ts';
import type { TomlItem, TomlValue } from './toml-outline.ts';

const MAIN_FILE = '/etc/containers/registries.conf';
const DROP_INS = '/etc/containers/registries.conf.d';
const LACK = 'a registry has no mirror here';
const OWN_FILE = `${DROP_INS}/damselfly.conf`;

/** Podman, Buildah and Skopeo: read their files at each pull. */
export const podmanSetup: SetupClient = {
  name: 'podman',
  configuration: 'containers',
  plan: planRegistries,
};

/** CRI-O: the same files, read again on SIGHUP. */
export const crioSetup: SetupClient = {
  name: 'crio',
  configuration: 'containers',
  restart: ['systemctl', 'reload', 'crio'],
  plan: planRegistries,
};

/** One `[[registry]]`. */
interface Entry {
  readonly file: TomlFile;
  /** Prefix, or what stands for it. */
  readonly prefix: string;
  /** Its header and what follows up to the next `[[registry]]`, mirrors included. */
  readonly items: readonly TomlItem[];
}

/**
 * A registry that has an entry gets the mirror there, before its others; the rest go into a file of their own: of two
 * entries with one prefix only the later counts, so a new one would hide what the first says.
 */
function planRegistries(view: ConfigView, registries: readonly WantedRegistry[]): SetupPlan {
  const others = [
    MAIN_FILE,
    ...view
      .list(DROP_INS)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => `${DROP_INS}/${name}`),
  ];
  const files = others.flatMap((path) => {
    const text = view.read(path);
    return text === undefined ? [] : [openToml(path, text)];
  });
  const entries = files.flatMap(entriesOf);
  const edits = new Map<TomlFile, TextEdit[]>();
  const added: string[] = [];
  for (const registry of registries) {
    const mirror = mirrorLocation(registry);
    const entry = entries.findLast(({ prefix }) => prefix === registry.name);
    if (entry === undefined) {
      requireNoWildcard(entries, registry.name);
      added.push(...newEntry(registry, mirror));
    } else if (!mirrorsOf(entry).includes(mirror)) {
      const lines = ['', '[[registry.mirror]]', `location = ${quoted(mirror)}`, 'insecure = true'];
      edits.set(entry.file, [
        ...(edits.get(entry.file) ?? []),
        linesAfter(entry.file.text, endOfOwn(entry), lines),
      ]);
    }
  }
  const planned: PlannedFile[] = files.map((file) => ({
    path: file.path,
    text: applyEdits(file.text, edits.get(file) ?? []),
    needsRestart: true,
    lack: LACK,
  }));
  if (added.length > 0) {
    const own = planned.find(({ path }) => path === OWN_FILE);
    const text = `${[own?.text ?? `${WRITTEN_BY}\n`, ...added.map((line) => `${line}\n`)].join('')}`;
    return {
      files: [
        ...planned.filter((file) => file !== own),
        { path: OWN_FILE, text, needsRestart: true, lack: LACK },
      ],
      notes: notesOn(registries),
    };
  }
  return { files: planned, notes: notesOn(registries) };
}

function mirrorLocation({ name, mirror, ownListener }: WantedRegistry): string {
  if (ownListener) return mirror;
  if (name.includes(':')) {
    refuse(
      OWN_FILE,
      `${name} has a port and cannot stand in a path: start the daemon with --proxy-listen ${name}=127.0.0.1:PORT and give this --proxy ${name}=127.0.0.1:PORT`,
    );
  }
  return `${mirror}/${name}`;
}

function newEntry({ name, url }: WantedRegistry, mirror: string): string[] {
  const plain = url?.startsWith('http://') === true;
  const location = url === undefined ? name : url.replace(/^https?:\/\//, '');
  return [
    '',
    '[[registry]]',
    `prefix = ${quoted(name)}`,
    `location = ${quoted(location)}`,
    ...(plain ? ['insecure = true'] : []),
    '[[registry.mirror]]',
    `location = ${quoted(mirror)}`,
    'insecure = true',
  ];
}

function entriesOf(file: TomlFile): Entry[] {
  const starts = file.items.flatMap((item, index) =>
    item.kind === 'header' && item.array && samePath(item.path, ['registry']) ? [index] : [],
  );
  if (
    starts.length === 0 &&
    file.items.some((item) => item.kind === 'value' && samePath(item.path, ['registry']))
  ) {
    refuse(file.path, 'its registries are not written as [[registry]] tables: write them so');
  }
  return starts.map((start, index) => {
    const items = file.items.slice(start, starts[index + 1]);
    const own = (key: string): string | undefined =>
      stringOf(
        items.find(
          (item): item is TomlValue => item.kind === 'value' && samePath(item.path, ['registry', key]),
        ),
      );
    return { file, items, prefix: own('prefix') || own('location') || '' };
  });
}

function mirrorsOf({ items }: Entry): (string | undefined)[] {
  return items.flatMap((item) =>
    item.kind === 'value' && samePath(item.path, ['registry', 'mirror', 'location']) ? [stringOf(item)] : [],
  );
}

/** Where the entry's own settings end and its mirrors may begin. */
function endOfOwn({ file, items }: Entry): number {
  const inline = items.find((item) => item.kind === 'value' && samePath(item.path, ['registry', 'mirror']));
  if (inline !== undefined) {
    refuse(file.path, 'write the mirrors of the registry as [[registry.mirror]] tables');
  }
  const rest = items.slice(1);
  const next = rest.findIndex((item) => item.kind === 'header');
  const own = next === -1 ? rest : rest.slice(0, next);
  return (own.at(-1) ?? items[0])?.end ?? 0;
}

/** `*.corp` stops applying to a registry that gets an entry of its own. */
function requireNoWildcard(entries: readonly Entry[], name: string): void {
  const host = name.replace(/:\d+$/, '');
  const wildcard = entries.find(({ prefix }) => prefix.startsWith('*.') && host.endsWith(prefix.slice(1)));
  if (wildcard === undefined) return;
  refuse(
    wildcard.file.path,
    `${wildcard.prefix} would no longer apply to ${name}: give ${name} a [[registry]] of its own that says the same, then run this again`,
  );
}

function notesOn(registries: readonly WantedRegistry[]): string[] {
  const shared = registries.filter(({ ownListener }) => !ownListener).map(({ name }) => name);
  if (shared.length === 0) return [];
  return [
    `private images of ${shared.join(', ')} come straight from the registry: these clients send no credentials to a mirror of another name`,
  ];
}
