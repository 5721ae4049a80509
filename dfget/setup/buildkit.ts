import { type SetupClient, type WantedRegistry, WRITTEN_BY } from './client.ts';
import { refuse } from './refuse.ts';
import { applyEdits, linesAtEnd } from './text-edit.ts';
import {
  firstInArray,
  headerAt,
  isInline,
  openToml,
  quoted,
  stringsOf,
  underHeader,
  valueAt,
} from './toml-edit.ts';

const BUILDKIT_CONFIG = '/etc/buildkit/buildkitd.toml';

/** BuildKit: mirrors a registry in buildkitd.toml, and plain HTTP for the mirror itself. */
export const buildkitSetup: SetupClient = {
  name: 'buildkit',
  configuration: 'buildkit',
  restart: ['systemctl', 'restart', 'buildkit'],
  plan(view, registries) {
    let text = view.read(BUILDKIT_CONFIG) ?? `${WRITTEN_BY}\n`;
    for (const registry of registries) text = withMirror(text, registry);
    for (const mirror of new Set(registries.map((registry) => registry.mirror))) {
      text = withPlainHttp(text, mirror);
    }
    return {
      files: [
        {
          path: BUILDKIT_CONFIG,
          text,
          needsRestart: true,
          lack: 'a registry, or the mirror itself, is missing',
        },
      ],
      notes: [],
    };
  },
};

function withMirror(text: string, { name, url, mirror }: WantedRegistry): string {
  const file = openToml(BUILDKIT_CONFIG, text);
  const table = ['registry', name];
  const mirrors = valueAt(file, [...table, 'mirrors']);
  if (mirrors !== undefined) {
    if (stringsOf(mirrors).includes(mirror)) return text;
    return applyEdits(text, [firstInArray(file, mirrors, mirror)]);
  }
  const line = `  mirrors = [${quoted(mirror)}]`;
  const header = headerAt(file, table);
  if (header !== undefined) return applyEdits(text, [underHeader(file, header, line)]);
  if (isInline(file, table)) {
    refuse(file.path, `write the settings of ${name} under [registry.${quoted(name)}]`);
  }
  const plain = url?.startsWith('http://') === true ? ['  http = true'] : [];
  return applyEdits(text, [linesAtEnd(text, [`[registry.${quoted(name)}]`, line, ...plain])]);
}

function withPlainHttp(text: string, mirror: string): string {
  const file = openToml(BUILDKIT_CONFIG, text);
  const table = ['registry', mirror];
  const http = valueAt(file, [...table, 'http']);
  if (http?.text === 'true') return text;
  if (http !== undefined) refuse(file.path, `it says http = ${http.text} of the mirror ${mirror}: say true`);
  const header = headerAt(file, table);
  if (header !== undefined) return applyEdits(text, [underHeader(file, header, '  http = true')]);
  if (isInline(file, table)) {
    refuse(file.path, `write the settings of ${mirror} under [registry.${quoted(mirror)}]`);
  }
  return applyEdits(text, [linesAtEnd(text, [`[registry.${quoted(mirror)}]`, '  http = true'])]);
}
