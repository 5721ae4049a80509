import type { ConfigView, SetupClient } from './client.ts';
import { addToJsonArray } from './json-edit.ts';
import { refuse } from './refuse.ts';
import { applyEdits } from './text-edit.ts';

const DOCKER_CONFIG = '/etc/docker/daemon.json';
/** Where distributions and administrators put dockerd's flags. */
const FLAG_FILES = ['/etc/default/docker', '/etc/sysconfig/docker', '/etc/systemd/system/docker.service'];
const DROP_INS = '/etc/systemd/system/docker.service.d';

/** dockerd: `registry-mirrors` in daemon.json, which serve docker.io and nothing else. */
export const dockerSetup: SetupClient = {
  name: 'docker',
  configuration: 'docker',
  restart: ['systemctl', 'reload', 'docker'],
  plan(view, registries) {
    const hub = registries.find(({ name }) => name === 'docker.io');
    const others = registries.filter(({ name }) => name !== 'docker.io').map(({ name }) => name);
    if (hub === undefined) {
      refuse(
        DOCKER_CONFIG,
        `dockerd asks mirrors for docker.io only, not for ${others.join(', ')}: name images as ${registries[0]?.mirror ?? ''}/REGISTRY/IMAGE, or add --upstream docker.io`,
      );
    }
    requireNoFlag(view);
    const before = view.read(DOCKER_CONFIG);
    // dockerd takes an empty file for an empty object.
    const base = before === undefined || before.trim() === '' ? '{}\n' : before;
    const edit = addToJsonArray(DOCKER_CONFIG, base, 'registry-mirrors', `http://${hub.mirror}`);
    const text = edit === undefined ? base : applyEdits(base, [edit]);
    const notes = [];
    if (others.length > 0) {
      notes.push(`dockerd asks mirrors for docker.io only; ${others.join(', ')} it goes on asking directly`);
    }
    if (!hub.ownListener) {
      notes.push(
        'dockerd names no registry: the daemon needs --default-upstream docker.io, unless it is its only upstream',
      );
    }
    return {
      files: [
        {
          path: DOCKER_CONFIG,
          text,
          needsRestart: true,
          lack: 'the mirror is not among its registry-mirrors',
        },
      ],
      notes,
    };
  },
};

/** dockerd does not start when the same thing is set by flag and in daemon.json. */
function requireNoFlag(view: ConfigView): void {
  const dropIns = view.list(DROP_INS).map((name) => `${DROP_INS}/${name}`);
  for (const path of [...FLAG_FILES, ...dropIns]) {
    const lines = (view.read(path) ?? '').split('\n');
    if (lines.some((line) => /^[^#;]*--registry-mirror/.test(line))) {
      refuse(
        path,
        'dockerd has --registry-mirror there and would not start with mirrors in daemon.json too: remove the flag',
      );
    }
  }
}
