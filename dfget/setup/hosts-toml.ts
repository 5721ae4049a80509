import { type ConfigView, type PlannedFile, registryUrl, type WantedRegistry, WRITTEN_BY } from './client.ts';
import { refuse } from './refuse.ts';
import { applyEdits, linesAtEnd, linesBefore } from './text-edit.ts';
import { openToml, quoted, startsWithPath } from './toml-edit.ts';

/** Certificates that a folder of a registry may hold in place of a hosts.toml. */
const CERTIFICATE = /\.(?:crt|cert|key)$/;

/** The registry's hosts.toml under `folder` (containerd's config_path) with the mirror before every other host. */
export function planHosts(view: ConfigView, folder: string, registry: WantedRegistry): PlannedFile {
  const name = hostFolder(view, folder, registry.name);
  const path = `${folder}/${name}/hosts.toml`;
  const host = `http://${registry.mirror}`;
  const block = [`[host.${quoted(host)}]`, '  capabilities = ["pull", "resolve"]'];
  const lack = `containerd is not told to ask ${host}`;
  const before = view.read(path);
  if (before === undefined) {
    requireNothingHidden(view, folder, name);
    const text = [WRITTEN_BY, `server = ${quoted(registryUrl(registry))}`, '', ...block, ''].join('\n');
    return { path, text, needsRestart: false, lack };
  }
  const file = openToml(path, before);
  if (file.items.some((item) => startsWithPath(item.path, ['host', host]))) {
    return { path, text: before, needsRestart: false, lack };
  }
  const index = file.items.findIndex((item) => item.kind === 'header');
  const top = index === -1 ? file.items : file.items.slice(0, index);
  if (top.some((item) => item.path[0] === 'host')) {
    refuse(path, 'its hosts are not written as [host."…"] tables: write them so');
  }
  const first = file.items[index];
  const edit =
    first === undefined
      ? linesAtEnd(before, block)
      : linesBefore(before, aboveComments(before, first.start, top.at(-1)?.end ?? 0), [...block, '']);
  return { path, text: applyEdits(before, [edit]), needsRestart: false, lack };
}

/** The first of the comment lines right above the line of `at`, or that line; never at or before `limit`. */
function aboveComments(text: string, at: number, limit: number): number {
  let start = text.lastIndexOf('\n', at - 1) + 1;
  for (;;) {
    const above = text.lastIndexOf('\n', start - 2) + 1;
    if (start === 0 || above < limit || !/^[ \t]*#/.test(text.slice(above, start))) return start;
    start = above;
  }
}

/** containerd reads `host_port_` before `host:port`. */
function hostFolder(view: ConfigView, folder: string, name: string): string {
  const portable = name.replace(/:(\d+)$/, '_$1_');
  return view.list(folder).includes(portable) ? portable : name;
}

/** A new hosts.toml takes the place of what applied to the registry before. */
function requireNothingHidden(view: ConfigView, folder: string, name: string): void {
  const certificate = view.list(`${folder}/${name}`).find((file) => CERTIFICATE.test(file));
  if (certificate !== undefined) {
    refuse(
      `${folder}/${name}`,
      `a hosts.toml here would make ${certificate} be ignored: write one that names it (ca = ${quoted(certificate)}), then run this again`,
    );
  }
  if (view.read(`${folder}/_default/hosts.toml`) !== undefined) {
    refuse(
      `${folder}/_default/hosts.toml`,
      `it applies to ${name} only as long as there is no ${folder}/${name}/hosts.toml: copy it there, then run this again`,
    );
  }
}
