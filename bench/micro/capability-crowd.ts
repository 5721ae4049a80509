import type { Digest } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import type { BlobOrigin, PeerInfo } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import type { KeyPair } from '../../lib/security/cluster-authority.ts';
import { createCapabilityTransport } from '../../lib/transfer/http/capabilities-http.ts';
import { connectOverTls } from '../../lib/transfer/http/peer-tls.ts';
import { AskSupernodes } from '../../lib/transfer/rights/ask-supernodes.ts';
import { openAuthority, steadyCredentials } from '../fixtures/certificates.ts';
import type { Methods } from './transfer/part.ts';

/** Nodes of a cluster that all want the right to one manifest, asked for as a node's daemon asks for it. */
export interface CrowdOrder {
  /** Whose certificates they show. */
  readonly authority: KeyPair;
  /** Numbers of the nodes. */
  readonly first: number;
  readonly count: number;
  readonly supernodes: readonly PeerInfo[];
  readonly question: BlobOrigin & { readonly manifest: Digest };
  /** Of which each must be given the right. */
  readonly blob: Digest;
}

export interface CrowdReport {
  /** Nodes that have the right. */
  readonly given: number;
  /** Until each node had it, or gave up. */
  readonly seconds: readonly number[];
  /** Times that a supernode sent a node away to come again. */
  readonly sentAway: number;
  /** Times that a supernode could not be reached. */
  readonly unreached: number;
}

interface Node {
  ask(): Promise<boolean>;
}

const clock = createSystemClock();
const log = silentLog();
const nodes: Node[] = [];
let sentAway = 0;
let unreached = 0;

export const capabilityCrowd: Methods = {
  prepare: async (order: CrowdOrder): Promise<void> => {
    const authority = openAuthority(order.authority);
    for (let index = order.first; index < order.first + order.count; index++) {
      nodes.push(await nodeOf(order, authority, index));
    }
  },
  ask: async (): Promise<CrowdReport> => {
    const startedMs = performance.now();
    const seconds: number[] = [];
    let given = 0;
    const ask = async (node: Node): Promise<void> => {
      if (await node.ask()) given++;
      seconds.push((performance.now() - startedMs) / 1000);
    };
    await Promise.all(nodes.map(ask));
    return { given, seconds, sentAway, unreached };
  },
};

async function nodeOf(
  { blob, question, supernodes }: CrowdOrder,
  authority: ReturnType<typeof openAuthority>,
  index: number,
): Promise<Node> {
  const id = index.toString(16).padStart(40, '0');
  const credentials = steadyCredentials(await authority.issue(id, 'node'));
  const transport = createCapabilityTransport({ connect: connectOverTls(credentials) });
  const self = { id, role: 'node', host: '127.0.0.1', port: 65_002, zone: '' } as const;
  const network: typeof transport = {
    ...transport,
    askCapability: async (asked, options) => {
      try {
        return await transport.askCapability(asked, options);
      } catch (error) {
        if (hasCode(error, 'PEER_BUSY')) sentAway++;
        else if (!options.signal.aborted) unreached++;
        throw error;
      }
    },
  };
  const asking = new AskSupernodes(
    {
      ...{ self: () => self, network, clock, log, rng: createSystemRng() },
      discovery: { reachable: true, supernodes },
    },
    new AbortController().signal,
  );
  return {
    async ask() {
      const said = await asking.ask(question);
      return typeof said === 'object' && said.given?.digests.includes(blob) === true;
    },
  };
}
