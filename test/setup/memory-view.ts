import type { ConfigView, SetupClient, SetupPlan, WantedRegistry } from '../../dfget/setup/client.ts';

/** The files of a machine, in memory. */
export function memoryView(files: Readonly<Record<string, string>>): ConfigView {
  return {
    read: (path) => files[path],
    list: (folder) => {
      const inside = Object.keys(files).filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))].sort();
    },
  };
}

/** The plan's files by path, over those that were there. */
export function plannedFiles(
  client: SetupClient,
  files: Readonly<Record<string, string>>,
  registries: readonly WantedRegistry[],
): Record<string, string> {
  const plan: SetupPlan = client.plan(memoryView(files), registries);
  return { ...files, ...Object.fromEntries(plan.files.map(({ path, text }) => [path, text])) };
}

const MIRROR = '127.0.0.1:65001';

export function registry(name: string, more: Partial<WantedRegistry> = {}): WantedRegistry {
  return { name, mirror: MIRROR, ownListener: false, ...more };
}
