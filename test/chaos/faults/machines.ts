import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../bench/fixtures/child.ts';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';
import { moment } from './moment.ts';

const FREEZE_MS = 5_000;
/** A few pieces and the records; the layers do not fit. */
const SMALL_DISK = '24m';
const FULL_DISKS = 2;
const CLOCK_SKEW = '10m';
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';

/** Faults of the machines under the processes: their processors, disks and clocks. */
export const MACHINE_FAULTS: readonly Fault[] = [
  {
    name: 'nodes-frozen',
    what: 'a sixth of the nodes stand still for five seconds (SIGSTOP)',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    plan(world, schedule) {
      for (const node of world.sample(world.nodes, Math.ceil(world.nodes.length / 6))) {
        world.excused.add(node);
        schedule.at(moment(world), `${node.name} stands still`, async () => {
          node.send('SIGSTOP');
          const timer = setTimeout(() => node.send('SIGCONT'), FREEZE_MS);
          world.cleanup.defer(() => clearTimeout(timer));
        });
      }
    },
  },
  {
    name: 'disks-full',
    what: 'the data disks of 2 nodes are full',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    async prepare(world) {
      const nodes = world.sample(world.nodes, FULL_DISKS);
      await Promise.all(nodes.map((node) => moveToSmallDisk(world, node)));
    },
  },
  {
    name: 'clocks-off',
    what: 'the clocks of half of the machines are 10 minutes off, before or after',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    async prepare(world) {
      const machines = world.sample(world.machines, Math.ceil(world.machines.length / 2));
      await Promise.all(
        machines.map(async (machine, index) => {
          await machine.stop();
          await machine.start({ env: wrongClock(index % 2 === 0 ? '+' : '-') });
        }),
      );
    },
  },
];

async function moveToSmallDisk(world: World, node: Machine): Promise<void> {
  const dataDir = join(world.folder, `${node.name}-small`);
  await mkdir(dataDir);
  const mount = await run('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', dataDir]);
  if (mount.code !== 0) throw new Error(`mount: ${mount.output.trim()}`);
  world.cleanup.defer(async () => {
    await node.stop();
    await run('umount', ['-l', dataDir]);
  });
  await node.stop();
  await node.start({ dataDir });
}

/** Only the time of day is wrong: timers run as ever, and so do the times of files. */
function wrongClock(direction: '+' | '-'): Record<string, string> {
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME: `${direction}${CLOCK_SKEW}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  };
}
