import type { ConfigView, SetupClient } from './client.ts';
import { planHosts } from './hosts-toml.ts';
import { addToJsonArray } from './json-edit.ts';
import { refuse } from './refuse.ts';
import { applyEdits } from './text-edit.ts';

const DOCKER_CONFIG = '/etc/docker/daemon.json';
/** Where distributions and administrators put dockerd's flags. */
const FLAG_FILES = ['/etc/default/docker', '/etc/sysconfig/docker', '/etc/systemd/system/docker.service'];
const DROP_INS = '/etc/systemd/system/docker.service.d';

/** Where a dockerd that keeps its images in containerd's store looks for a hosts.toml. */
const HOSTS_FOLDER = '/etc/docker/certs.d';

/**
 * dockerd: `registry-mirrors` in daemon.json, which serve docker.io and nothing else; with containerd's image store also
 * a hosts.toml for each other registry.
 */
export const dockerSetup: SetupClient = {
  name: 'docker',
  configuration: 'docker',
  restart: ['systemctl', 'reload', 'docker'],
  plan(view, registries) {
    const hub = registries.find(({ name }) => name === 'docker.io');
    const rest = registries.filter(({ name }) => name !== 'docker.io');
    const others = rest.map(({ name }) => name);
    const hosts = usesContainerdStore(view)
      ? rest.map((registry) => planHosts(view, HOSTS_FOLDER, registry))
      : [];
    if (hub === undefined && hosts.length > 0) return { files: hosts, notes: [] };
    if (hub === undefined) {
      refuse(
        DOCKER_CONFIG,
        `dockerd asks mirrors for docker.io only, not for ${others.join(', ')}: name images as ${registries[0]?.mirror ?? ''}/REGISTRY/IMAGE, add --upstream docker.io, or ${STORE_ADVICE}`,
      );
    }
    requireNoFlag(view);
    const before = view.read(DOCKER_CONFIG);
    // dockerd takes an empty file for an empty object.
    const base = before === undefined || before.trim() === '' ? '{}\n' : before;
    const edit = addToJsonArray(DOCKER_CONFIG, base, 'registry-mirrors', `http://${hub.mirror}`);
    const text = edit === undefined ? base : applyEdits(base, [edit]);
    const notes = [];
    if (others.length > hosts.length) {
      notes.push(
        `dockerd asks mirrors for docker.io only; ${others.join(', ')} it goes on asking directly: to change that, ${STORE_ADVICE}`,
      );
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
        ...hosts,
      ],
      notes,
    };
  },
};

const STORE_ADVICE =
  'let dockerd keep images in containerd\'s store ("features": {"containerd-snapshotter": true} in daemon.json) and run this again';

/** Whether daemon.json says so; what dockerd does without a word there depends on its version and its past. */
function usesContainerdStore(view: ConfigView): boolean {
  try {
    const config = JSON.parse(view.read(DOCKER_CONFIG) ?? '{}') as {
      features?: Record<string, unknown>;
    } | null;
    return config?.features?.['containerd-snapshotter'] === true;
  } catch {
    return false;
  }
}

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
