import type { Test } from 'tap';
import t from 'tap';
import type { ScriptedCase } from './case.ts';
import { startGroundAt } from './ground.ts';
import { startScriptedRegistry } from './scripted-registry.ts';

/** Runs the cases one after another through one node; what a case made the registry do ends with it. */
export async function runScripted(name: string, cases: readonly ScriptedCase[]): Promise<void> {
  await t.test(name, async (t: Test) => {
    const registry = await startScriptedRegistry();
    const ground = await startGroundAt(t, registry, { 'docker.io': registry.url });
    for (const each of cases) {
      await t.test(`case ${each.number}: ${each.title}`, async (t) => {
        t.teardown(() => {
          registry.script = undefined;
        });
        await each.run(t, { registry, port: ground.port, ground });
      });
    }
  });
}
