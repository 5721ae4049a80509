import { trackerLineSeconds } from '../simulate/limit.ts';
import { PROFILES } from '../simulate/profile.ts';

const { daemon } = PROFILES;
const { cpuSecondsPerGB: cpu } = daemon;
const answerMs = 2 * daemon.messageMs + daemon.announceMs;
const lineSeconds = trackerLineSeconds(daemon, 10_000);

export const HOW_TO_READ = `## How to read it

- **Limit**: the least time in which any scheme could serve a node, from its own start: the fluid bound of Kumar and Ross with the registry in front (\`bench/simulate/limit.ts\`). 1.000 cannot be beaten by all nodes together. Pieces must be whole before they are passed on, which alone costs \`floor(log2 nodes)\` piece times: 1.017 for 10,000 nodes and 768 pieces.
- **p99.9**: nearest rank over the nodes that count: those that neither died nor are slow nor send wrong bytes. With slow nodes a ratio below 1 can occur: the limit assumes that they get their part at the same pace.
- **Registry, cross-zone, max upload**: bytes read from the registry, sent over a border between zones, and sent by the busiest node, in images. A registry of 1.00x was read exactly once.
- **\`reference\`**: decisions and bandwidth, nothing else, for comparison with theory. **\`daemon\`**: with the costs of real processes: hints travel as long as messages do, news of pieces is collected for ${daemon.haveDelayMs} ms, a GB received takes ${cpu.check} CPU seconds of the main thread until it is checked and ${cpu.write} of other threads to write it, then it counts, and ${cpu.digest} of the main thread more for the digest of the whole blob, the tracker takes ${daemon.messageMs} ms to read or write a message and ${daemon.announceMs} ms for each blob of an announcement, joining takes its round trips, ${daemon.owners === 1 ? 'one supernode reads a layer' : `${daemon.owners} supernodes read a layer`}.
- **The line at the tracker**: a tracker of one thread reads and answers what a node announces in ${answerMs.toFixed(4)} ms, more than a third of it in the kernel, for one message in and one out. Of 10,000 nodes that come at once for one layer the last has its answer after ${lineSeconds.toFixed(3)} s, and nobody serves it before; a link that needs 10.24 s for the bytes cannot make that up, so with \`daemon\` its limit is ${(1 + lineSeconds / 10.24).toFixed(4)}, and that of the node in the middle ${(1 + lineSeconds / 20.48).toFixed(4)}. The flash crowd’s targets for p50, p99 and max are later by just that part (a half, 0.99, all of it): above its own limit a node may lose what it may lose with \`reference\`. When a crowd comes for several layers, the tracker reads all messages before it answers most, and nodes are served before their own answer: that row needs no such allowance.
- **Fast cards**: at 10 Gbit/s a node’s first thread, which takes ${(cpu.check + cpu.digest).toFixed(2)} s for a GB, is slower than its card. The target of the 16 sites with \`daemon\` is 1.25 times that thread’s time, and the line of 16,000 nodes at one tracker on top of it.
- Repeat a row: run its command. Repeat everything: \`npm run bench:report\`; \`--only "crash"\` for some rows, \`--nodes-scale 0.1\` for a quick try.`;

export const WHAT_IT_SEES = `## What the simulator sees, and what it does not

It runs the classes that daemons, supernodes and trackers run: which piece from whom, who is a neighbour of whom, what a supernode offers, when a request is given up, who is banned. Made up are the links: every flow gets an equal share at both ends of its way, the lesser of the two counts, and messages take the latency of their way. Zones, their borders, late callers, crashes, slow and poisonous nodes, dead supernodes and trackers, and sites that are cut off are part of it.

It does not see TCP (slow start, loss, unfair shares), TLS, disks, memory, garbage collection, switches that are narrower than the links of their machines, or other traffic. What processes cost beyond the figures of \`daemon\` is measured by the live bench ([live.md](live.md)), on a few nodes.`;
