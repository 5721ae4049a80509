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
  {
    const V = process.env['V'] ?? '';
    const edges: [number, number][] = []; const sedges: [number, number][] = [];
    for (let e = 0; e < nodes; e++) for (const o of links[e]!) { if (o >= nodes) sedges.push([e, o]); else if (o > e) edges.push([e, o]); }
    const E = new Set(edges.map(([a, b]) => a * 1e6 + b));
    for (let e = 0; e < nodes + seeds; e++) { links[e] = []; back[e] = []; }
    const join = (a: number, b: number): void => { if (a === b || links[a]!.includes(b)) return; back[a]!.push(links[b]!.length); back[b]!.push(links[a]!.length); links[a]!.push(b); links[b]!.push(a); };
    if (V.includes('r')) { for (let k = 0; k < 5; k++) { const p = Array.from({ length: nodes }, (_, i) => i); for (let i = nodes - 1; i > 0; i--) { const j = rng.int(i + 1); [p[i], p[j]] = [p[j]!, p[i]!]; } for (let i = 0; i < nodes; i++) join(p[i]!, p[(i + 1) % nodes]!); } }
    else for (const [a, b] of edges) join(a, b);
    if (V.includes('f')) { // fill up to 10
      for (let a = 0; a < nodes; a++) { for (let t = 0; t < 100 && links[a]!.length < 10; t++) { let best = -1; for (let q = 0; q < 4; q++) { const b = rng.int(nodes); if (b !== a && !links[a]!.includes(b) && links[b]!.length < 20 && (best < 0 || links[b]!.length < links[best]!.length)) best = b; } if (best >= 0) join(a, best); } }
    }
    void E;
    if (V.includes('s')) { for (let s = 0; s < seeds; s++) for (let k = 0; k < Math.min(32, nodes); k++) join(nodes + s, rng.int(nodes)); }
    else if (V.includes('S')) { for (let s = 0; s < seeds; s++) for (let e = 0; e < nodes; e++) if (e < 32 || rng.int(e+1) < 16) join(nodes + s, e); }
    else for (const [a, b] of sedges) join(a, b);
  }
  const start = new Int32Array(nodes + seeds + 1);
  for (let end = 0; end < nodes + seeds; end++) start[end + 1] = start[end]! + links[end]!.length;
  return { start, other: Int32Array.from(links.flat()), back: Int32Array.from(back.flat()) };
}
