import t from 'tap';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { startGroundAt } from './ground.ts';
import { pullCases } from './pull-cases.ts';
import { startScriptedRegistry, type TestRegistry } from './scripted-registry.ts';

/** The cases that every registry answers alike, through a whole node, by each registry there is. */
const REGISTRIES: readonly { readonly start: () => Promise<TestRegistry>; readonly needs?: string }[] = [
  { start: () => startScriptedRegistry() },
  { start: realRegistry, needs: 'docker-registry' },
];

async function realRegistry(): Promise<TestRegistry> {
  const registry = await startDockerRegistry();
  return {
    kind: 'docker-registry',
    url: registry.url,
    blob: (repository, bytes) => registry.pushBlob(repository, bytes),
    manifest: (repository, type, bytes, tag) => registry.pushManifestBytes(repository, tag, type, bytes),
    close: () => registry.close(),
  };
}

for (const { start, needs } of REGISTRIES) {
  const skip = needs === undefined || isInstalled(needs) ? false : `${needs} is not installed`;
  await t.test(`through a node, from ${needs ?? 'a scripted registry'}`, { skip }, async (t) => {
    const registry = await start();
    const ground = await startGroundAt(t, registry);
    for (const each of pullCases) {
      await t.test(`case ${each.number}: ${each.title}`, (t) =>
        each.run(t, { registry, port: ground.port, ground }),
      );
    }
  });
}
