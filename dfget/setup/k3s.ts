import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, type Pair, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { readYaml } from '../../lib/config/yaml.ts';
import { type SetupClient, type WantedRegistry, WRITTEN_BY } from './client.ts';
import { refuse } from './refuse.ts';
import { applyEdits, linesAfter, linesAtEnd, linesBefore, type TextEdit } from './text-edit.ts';

const K3S_CONFIG = '/etc/rancher/k3s/registries.yaml';

/** k3s: mirrors in registries.yaml, of which it makes containerd's configuration when it starts. */
export const k3sSetup: SetupClient = {
  name: 'k3s',
  configuration: 'k3s',
  restart: ['systemctl', 'restart', 'k3s'],
  plan(view, registries) {
    let text = view.read(K3S_CONFIG) ?? `${WRITTEN_BY}\n`;
    for (const registry of registries) text = withMirror(text, registry);
    const notes = ['on agents the service is k3s-agent: systemctl restart k3s-agent'];
    return {
      files: [
        { path: K3S_CONFIG, text, needsRestart: true, lack: 'a registry has no endpoint at the mirror' },
      ],
      notes,
    };
  },
};

interface Registries {
  mirrors?: Record<string, { endpoint?: unknown } | null> | null;
}

function withMirror(text: string, registry: WantedRegistry): string {
  const { name, url } = registry;
  const endpoint = `http://${registry.mirror}`;
  const endpoints = [endpoint, ...(url === undefined ? [] : [url])];
  const before = registriesIn(text);
  const present = before.mirrors?.[name];
  const listed: unknown[] | undefined = Array.isArray(present?.endpoint) ? present.endpoint : undefined;
  if (listed?.includes(endpoint) === true) return text;
  if (present === undefined && before.mirrors?.['*'] !== undefined) {
    refuse(
      K3S_CONFIG,
      `the mirrors of "*" would no longer apply to ${name}: give it an entry that says the same, then run this again`,
    );
  }
  const edit = editFor(text, name, endpoints);
  const after = edit === undefined ? text : applyEdits(text, [edit]);
  const added = listed === undefined ? endpoints : [endpoint, ...listed];
  const expected = { ...before, mirrors: { ...before.mirrors, [name]: { ...present, endpoint: added } } };
  // What was not understood shows here: the new text must say what the old one did, and the mirror.
  if (!isDeepStrictEqual(readOrNothing(after), expected)) {
    refuse(
      K3S_CONFIG,
      `it is written in a way that cannot be edited safely: put ${endpoint} first under mirrors, ${name}, endpoint`,
    );
  }
  return after;
}

function registriesIn(text: string): Registries {
  const read = readYaml(text);
  if (read.kind === 'fault') {
    const { code, line } = read.fault;
    refuse(K3S_CONFIG, `it is not YAML (${code}${line === undefined ? '' : ` in line ${line}`}): correct it`);
  }
  const value = read.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    refuse(K3S_CONFIG, 'it is not a YAML mapping: correct it');
  }
  return value;
}

function readOrNothing(text: string): unknown {
  const read = readYaml(text);
  return read.kind === 'value' ? read.value : undefined;
}

/** The edit that puts the endpoints first; undefined where the text offers no place for one. */
function editFor(text: string, name: string, endpoints: readonly string[]): TextEdit | undefined {
  const list = endpoints.map((url) => JSON.stringify(url)).join(', ');
  const key = JSON.stringify(name);
  const root = parseDocument(text).contents;
  if (root === null) return linesAtEnd(text, ['mirrors:', `  ${key}:`, `    endpoint: [${list}]`]);
  if (!isMap(root)) return undefined;
  const mirrors = pairOf(root, 'mirrors');
  if (mirrors === undefined) {
    if (root.flow === true) return firstInFlow(root, `"mirrors": {${key}: {"endpoint": [${list}]}}`);
    return linesAtEnd(text, ['mirrors:', `  ${key}:`, `    endpoint: [${list}]`]);
  }
  if (!isMap(mirrors.value)) {
    if (!isEmpty(mirrors)) return undefined;
    return linesAfter(text, keyStart(mirrors), [`  ${key}:`, `    endpoint: [${list}]`]);
  }
  const entry = pairOf(mirrors.value, name);
  if (entry === undefined) {
    if (mirrors.value.flow === true) return firstInFlow(mirrors.value, `${key}: {"endpoint": [${list}]}`);
    const at = keyStart(mirrors.value.items[0]);
    const indent = indentOf(text, at);
    return linesBefore(text, at, [`${indent}${key}:`, `${indent}  endpoint: [${list}]`]);
  }
  if (!isMap(entry.value)) return undefined;
  return editEntry(text, entry.value, endpoints[0] ?? '', list);
}

function editEntry(text: string, entry: YAMLMap, endpoint: string, list: string): TextEdit | undefined {
  const found = pairOf(entry, 'endpoint');
  if (found === undefined) {
    if (entry.flow === true) return firstInFlow(entry, `"endpoint": [${list}]`);
    const at = keyStart(entry.items[0]);
    return linesBefore(text, at, [`${indentOf(text, at)}endpoint: [${list}]`]);
  }
  const { value } = found;
  if (!isSeq(value)) return undefined;
  if (value.flow === true) return firstInFlow(value, JSON.stringify(endpoint));
  const dash = text.lastIndexOf('-', startOf(value.items[0]) - 1);
  return linesBefore(text, dash, [`${indentOf(text, dash)}- ${JSON.stringify(endpoint)}`]);
}

function firstInFlow(node: YAMLMap | YAMLSeq, text: string): TextEdit {
  const start = (node.range?.[0] ?? 0) + 1;
  return { start, end: start, text: node.items.length === 0 ? text : `${text}, ` };
}

function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
}

const isEmpty = ({ value }: Pair): boolean => value === null || (isScalar(value) && value.value === null);
const startOf = (node: unknown): number =>
  (node as { range?: [number, number, number] } | undefined)?.range?.[0] ?? 0;
const keyStart = (pair: Pair | undefined): number => startOf(pair?.key);

function indentOf(text: string, at: number): string {
  return /^[ ]*/.exec(text.slice(text.lastIndexOf('\n', at - 1) + 1))?.[0] ?? '';
}
