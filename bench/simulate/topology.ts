import type { Rng } from '../../lib/runtime/rng.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { Scenario } from './scenario.ts';

const BLOB = 'blob';

/** Links between ends, both ways; ends 0..nodes-1 are nodes, the rest are seeds. */
export interface Topology {
  /** The links of end `e` are `start[e]` to `start[e + 1]`, exclusive. */
  readonly start: Int32Array;
  /** Link -> the end at its other side. */
  readonly other: Int32Array;
  /** Link -> the index of the same link among those of the other end. */
  readonly back: Int32Array;
}

/** All nodes join at once, one announcement each, with the tracker that the cluster uses. */
export function buildTopology(scenario: Scenario, rng: Rng): Topology {
  const { nodes, seeds } = scenario;
  const tracker = new TrackerCore({ ownersPerBlob: seeds }, rng);
  for (let end = 0; end < nodes + seeds; end++) {
    tracker.join(
      { id: String(end), role: end < nodes ? 'node' : 'supernode', host: '', port: 0, zone: '' },
      0,
    );
  }
  const links: number[][] = Array.from({ length: nodes + seeds }, () => []);
  const back: number[][] = Array.from({ length: nodes + seeds }, () => []);
  for (let end = 0; end < nodes; end++) {
    for (const peer of tracker.announce(String(end), BLOB, { have: 'none' }, 0)) {
      const other = Number(peer.id);
      back[end]!.push(links[other]!.length);
      back[other]!.push(links[end]!.length);
      links[end]!.push(other);
      links[other]!.push(end);
    }
  }
  const start = new Int32Array(nodes + seeds + 1);
  for (let end = 0; end < nodes + seeds; end++) start[end + 1] = start[end]! + links[end]!.length;
  return { start, other: Int32Array.from(links.flat()), back: Int32Array.from(back.flat()) };
}
