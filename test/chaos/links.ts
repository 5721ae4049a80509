import { run } from '../../bench/fixtures/child.ts';
import type { Machine } from './machine.ts';

/** Drops a share of the packets that reach a machine. */
export async function losePackets(machine: Machine, share: number): Promise<void> {
  const match = ['-m', 'statistic', '--mode', 'random', '--probability', String(share)];
  await inside(machine, 'iptables', '-A', 'INPUT', '-i', 'eth0', ...match, '-j', 'DROP');
}

/** Nothing passes between the two groups any more; everybody else is reached by both. */
export async function cutApart(one: readonly Machine[], other: readonly Machine[]): Promise<void> {
  const hosts = other.map(({ spec }) => spec.place.peerHost).join(',');
  for (const machine of one) {
    await inside(machine, 'iptables', '-A', 'INPUT', '-i', 'eth0', '-s', hosts, '-j', 'DROP');
    await inside(machine, 'iptables', '-A', 'OUTPUT', '-o', 'eth0', '-d', hosts, '-j', 'DROP');
  }
}

/** Undoes {@link losePackets} and {@link cutApart}. */
export async function heal(machine: Machine): Promise<void> {
  await inside(machine, 'iptables', '-F');
}

/** @throws Error in the command's own words */
async function inside(machine: Machine, ...command: readonly string[]): Promise<void> {
  const { code, output } = await run('ip', ['netns', 'exec', machine.spec.place.namespace, ...command]);
  if (code !== 0) throw new Error(`${command.join(' ')}: ${output.trim()}`);
}
