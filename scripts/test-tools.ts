import { spawnSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Tool {
  readonly program: string;
  readonly debian: string;
  /** The one test that it is for, where it is too large to be installed for all. */
  readonly only?: string;
}

const CEPH_TEST = 'test/soak/ceph.test.ts';

/** Programs that the end-to-end tests and the fault suite drive, and the Debian packages that bring them, with what they need. */
const TOOLS: readonly Tool[] = [
  { program: 'docker-registry', debian: 'docker-registry' },
  { program: 'containerd', debian: 'containerd' },
  { program: 'ctr', debian: 'containerd' },
  { program: 'dockerd', debian: 'docker.io' },
  { program: 'docker', debian: 'docker.io' },
  { program: 'podman', debian: 'podman' },
  { program: 'buildah', debian: 'buildah' },
  { program: 'skopeo', debian: 'skopeo' },
  { program: 'runc', debian: 'runc' },
  { program: 'busybox', debian: 'busybox-static' },
  { program: 'htpasswd', debian: 'apache2-utils' },
  { program: 'openssl', debian: 'openssl' },
  { program: 'ip', debian: 'iproute2' },
  { program: 'iptables', debian: 'iptables' },
  { program: 'faketime', debian: 'faketime' },
  { program: 'redis-server', debian: 'redis-server' },
  { program: 'aria2c', debian: 'aria2' },
  { program: 'transmission-cli', debian: 'transmission-cli' },
  { program: 'transmission-create', debian: 'transmission-cli' },
  { program: 'systemd-socket-activate', debian: 'systemd' },
  { program: 'promtool', debian: 'prometheus' },
  { program: 'chromium', debian: 'chromium' },
  { program: 'ansible-playbook', debian: 'ansible-core' },
  { program: 'kubectl', debian: 'kubernetes-client' },
  { program: 'zsh', debian: 'zsh' },
  { program: 'fish', debian: 'fish' },
  {
    program: 'qemu-aarch64-static',
    debian: 'qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross',
    only: 'test/soak/dist.test.ts',
  },
  { program: 'ceph', debian: 'ceph-common', only: CEPH_TEST },
  { program: 'monmaptool', debian: 'ceph-base', only: CEPH_TEST },
  { program: 'ceph-mon', debian: 'ceph-mon', only: CEPH_TEST },
  { program: 'ceph-osd', debian: 'ceph-osd', only: CEPH_TEST },
  { program: 'radosgw', debian: 'radosgw', only: CEPH_TEST },
];

/** Debian's hook that keeps packages from starting their services: the tests start their own. */
const POLICY_FILE = '/usr/sbin/policy-rc.d';
/** Daemons live here; the PATH of an ordinary user may lack it. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export function extendPath(): void {
  process.env['PATH'] = [process.env['PATH'] ?? '', ...SYSTEM_FOLDERS].join(delimiter);
}

/**
 * Installs what is missing, as root on Debian; says what is missing otherwise.
 * @param tests files that are about to run, for what only one of them needs
 * @returns programs that are still missing
 */
export function provideTools(say: (text: string) => void, tests: readonly string[] = []): string[] {
  const missing = missingTools(tests);
  if (missing.length === 0) return [];
  const names = missing.map(({ program }) => program).join(', ');
  const packages = [...new Set(missing.flatMap(({ debian }) => debian.split(' ')))];
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    say(
      `Missing: ${names}. Tests that need them are skipped. On Debian, as root: apt-get install ${packages.join(' ')}`,
    );
    return missing.map(({ program }) => program);
  }
  say(`Installing ${packages.join(', ')} for ${names} ...`);
  try {
    writeFileSync(POLICY_FILE, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  } catch {
    // There is one already, and it is not ours to change.
  }
  apt(['update']);
  apt(['install', '-y', '--no-install-recommends', ...packages]);
  const still = missingTools(tests).map(({ program }) => program);
  if (still.length > 0) say(`Could not be installed: ${still.join(', ')}. Tests that need them are skipped.`);
  return still;
}

function missingTools(tests: readonly string[]): Tool[] {
  const wanted = TOOLS.filter(({ only }) => only === undefined || tests.includes(only));
  return wanted.filter(({ program }) => !onPath(program));
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function apt(args: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Its chatter goes to stderr; what could not be installed is found out afterwards.
  spawnSync('apt-get', ['-q', ...args], { stdio: ['ignore', 2, 2], env });
}
