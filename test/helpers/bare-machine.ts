import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { minimalRoot } from '../../scripts/packages/image/minimal-root.ts';
import type { Target } from '../../scripts/packages/program-tree.ts';

/** What the unpacking script uses; any machine has them. */
const TOOLS = ['sh', 'env', 'id', 'mkdir', 'mktemp', 'mv', 'rm', 'tail', 'tar', 'gzip', 'chmod'];
/** Of programs for arm64, as Linux's binfmt_misc tells them from others: an ELF header, and which bits of it count. */
const ARM64_MAGIC = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`;
const ARM64_MASK = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;

/** A folder as a machine with a shell and the C library, and without Node; the shell is this machine's own. */
export function makeBareMachine(root: string, target: Target): void {
  for (const { content, mode, name } of minimalRoot(target)) {
    const path = join(root, name);
    if (content === 'folder') mkdirSync(path, { recursive: true });
    else if ('text' in content) writeFileSync(path, content.text);
    else copyFileSync(content.file, path);
    chmodSync(path, mode);
  }
  mkdirSync(join(root, 'bin'));
  const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
  copyFileSync(busybox, join(root, 'bin/busybox'));
  for (const tool of TOOLS) symlinkSync('busybox', join(root, 'bin', tool));
}

/**
 * How to run a command there, with this machine's /proc and /dev. Programs for arm64 run under Debian's
 * qemu-user-static, which only the command's own user namespace is told of.
 */
export function inBareMachine(
  root: string,
  target: Target,
  args: readonly string[],
): { readonly command: string; readonly args: readonly string[] } {
  const foreign = [
    'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc',
    `printf %s ':arm64:M::${ARM64_MAGIC}:${ARM64_MASK}:'"$(command -v qemu-aarch64-static)":F > /proc/sys/fs/binfmt_misc/register`,
  ];
  const script = [
    ...(target === 'linux-arm64' ? foreign : []),
    'mount --rbind /proc "$0/proc"',
    'mount --rbind /dev "$0/dev"',
    'exec chroot "$0" /bin/env -i PATH=/bin HOME=/tmp "$@"',
  ].join(' && ');
  return {
    command: 'unshare',
    args: ['--user', '--map-root-user', '--mount', 'sh', '-c', script, root, ...args],
  };
}
