import { run } from '../../bench/fixtures/child.ts';
import type { NetworkNode } from '../../bench/fixtures/network.ts';

/** The border of a site, as the kernels of its machines see it: what comes in from machines of other sites. */
export interface SiteBorder {
  /** Bytes of all packets that have come in, headers included. */
  crossed(): Promise<number>;
  /** Nothing passes any more, in either direction, or everything does again. */
  cut(down: boolean): Promise<void>;
}

const COUNT = 'border-count';
const CUT = { INPUT: ['border-in', '-s'], OUTPUT: ['border-out', '-d'] } as const;

/**
 * @param inside the machines of the site
 * @param counted those of other sites
 * @param outside all that a cut keeps away
 */
export async function watchBorder(
  inside: readonly NetworkNode[],
  counted: readonly NetworkNode[],
  outside: readonly NetworkNode[],
): Promise<SiteBorder> {
  const hosts = (places: readonly NetworkNode[]): string => places.map((each) => each.peerHost).join(',');
  for (const { namespace } of inside) {
    for (const [chain, [name]] of Object.entries(CUT)) {
      await iptables(namespace, '-N', name);
      await iptables(namespace, '-A', chain, '-j', name);
    }
    await iptables(namespace, '-N', COUNT);
    await iptables(namespace, '-A', 'INPUT', '-i', 'eth0', '-j', COUNT);
    await iptables(namespace, '-A', COUNT, '-s', hosts(counted), '-j', 'RETURN');
  }
  return {
    async crossed() {
      const pages = await Promise.all(inside.map(({ namespace }) => iptables(namespace, '-nvxL', COUNT)));
      // Packets and bytes are the first two columns of a rule.
      const rules = pages.flatMap((page) => [...page.matchAll(/^ *\d+ +(\d+) RETURN /gm)]);
      if (rules.length !== inside.length * counted.length) throw new Error(`${rules.length} rules are read`);
      return rules.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    },
    async cut(down) {
      for (const { namespace } of inside) {
        for (const [name, side] of Object.values(CUT)) {
          await (down
            ? iptables(namespace, '-A', name, side, hosts(outside), '-j', 'DROP')
            : iptables(namespace, '-F', name));
        }
      }
    },
  };
}

/** @returns what it prints. @throws Error in its own words */
async function iptables(namespace: string, ...args: readonly string[]): Promise<string> {
  const { code, output, stdout } = await run('ip', ['netns', 'exec', namespace, 'iptables', ...args]);
  if (code !== 0) throw new Error(`iptables ${args.join(' ')}: ${output.trim()}`);
  return stdout;
}
