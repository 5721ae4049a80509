import type { Digest } from '../../core/digest.ts';
import type { PieceProof } from '../../core/proof.ts';
import type { PeerMessage } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { Neighbours } from '../peers/neighbours.ts';
import { ProofJudge } from './proof-judge.ts';
import { ProofTeller } from './proof-teller.ts';

/** Cards, warrants, capabilities and pieces of evidence that a neighbour may show in so long: some tenths of a second of CPU. */
const MAX_PAPERS = 1000;
const PAPERS_MS = 10_000;

export interface ProofTrustHost {
  links(): Pick<Neighbours, 'all' | 'ban'>;
  blob(digest: Digest): SharedBlob | undefined;
}

/** Proofs between an engine and its neighbours: what is told, whom to believe, and the papers that show who signed. */
export class ProofTrust {
  readonly teller: ProofTeller;
  /** Absent in a cluster without identities. */
  readonly judge: ProofJudge | undefined;
  readonly #deps: EngineDeps;
  readonly #papers = new WeakMap<Neighbour, { sinceMs: number; count: number }>();

  constructor(deps: EngineDeps, host: ProofTrustHost) {
    const { log, metrics, vouching } = deps;
    this.#deps = deps;
    this.teller = new ProofTeller(deps);
    if (vouching === undefined) return;
    this.judge = new ProofJudge(
      { vouching, log, metrics },
      {
        ban: (peerId, reason) => host.links().ban(peerId, reason),
        tell: (evidence) => {
          for (const neighbour of host.links().all()) this.teller.accuse(neighbour, evidence);
        },
        rightProof: ({ digest, pieceBytes, size }, index) => {
          const blob = host.blob(digest);
          const same =
            blob?.verified === true && blob.info.size === size && blob.info.pieceBytes === pieceBytes;
          return same ? blob.stored.proof(index) : undefined;
        },
      },
    );
  }

  /** A link is there: what members have signed against themselves is shown to everybody. */
  meet(neighbour: Neighbour): void {
    for (const evidence of this.judge?.evidence ?? []) this.teller.accuse(neighbour, evidence);
  }

  /** Whether others can believe the proof when this peer tells it. */
  isBelievable(proof: PieceProof, digest: Digest, teller: string): boolean {
    return this.judge === undefined || this.judge.standing(proof, digest, teller) !== undefined;
  }

  /** @returns whether the message was about who signed what, and is dealt with */
  hear(neighbour: Neighbour, message: PeerMessage): boolean {
    const { grants, vouching } = this.#deps;
    if (message.type !== 'voucher' && message.type !== 'evidence' && message.type !== 'capability') {
      return false;
    }
    if (!this.#mayShow(neighbour)) return true;
    const { fingerprint, peer } = neighbour;
    if (message.type === 'capability') {
      if (fingerprint !== undefined) grants?.show({ id: peer.id, fingerprint }, message);
      return true;
    }
    if (message.type === 'voucher') vouching?.hear(message.text);
    else this.judge?.hear(message, neighbour.peer.id);
    return true;
  }

  /** To check a paper costs more than to send one. */
  #mayShow(neighbour: Neighbour): boolean {
    const now = this.#deps.clock.now();
    const papers = this.#papers.get(neighbour) ?? { sinceMs: now, count: 0 };
    if (now - papers.sinceMs >= PAPERS_MS) Object.assign(papers, { sinceMs: now, count: 0 });
    this.#papers.set(neighbour, papers);
    return ++papers.count <= MAX_PAPERS;
  }
}
