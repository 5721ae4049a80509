import { BoundedMap } from '../../core/bounded-map.ts';
import type { Digest } from '../../core/digest.ts';
import type { BlobInfo } from '../../core/geometry.ts';
import { type PieceProof, sameBytes } from '../../core/proof.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Signer } from '../../security/signer-card.ts';
import type { Evidence } from '../../wire/peer-messages.ts';
import type { Standing, Vouching } from './vouching.ts';

export interface ProofJudgeDeps {
  readonly vouching: Vouching;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface ProofJudgeHost {
  /** Never speaks to this peer again. */
  ban(peerId: string, reason: string): void;
  /** Shows it to all neighbours. */
  tell(evidence: Evidence): void;
  /** The proof of a piece of a blob whose digest has matched here. */
  rightProof(blob: Pick<BlobInfo, 'digest' | 'size' | 'pieceBytes'>, index: number): PieceProof | undefined;
}

/** Reads of a registry by one signer that another read, which matched the digest, contradicts: the first is an accident. */
const MOST_ACCIDENTS = 1;
const MAX_STRUCK = 1024;
/** Kept to show, the oldest goes first. */
const MAX_EVIDENCE = 256;
/** Of one blob that turned out wrong, signed proofs kept until its bytes are right. */
const MAX_DISPROVED = 4096;
const MAX_WRONG_BLOBS = 64;

/**
 * Whose proofs count, and what becomes of those who sign what is not so. Nobody is believed about anybody else: a strike
 * is what the member itself has signed, held against bytes that matched the digest of their blob here.
 */
export class ProofJudge {
  readonly #deps: ProofJudgeDeps;
  readonly #host: ProofJudgeHost;
  /** Signer -> blob and generation of its wrong reads. */
  readonly #strikes = new BoundedMap<ReadonlySet<string>>(MAX_STRUCK);
  readonly #disproved = new BoundedMap<readonly PieceProof[]>(MAX_WRONG_BLOBS);
  readonly #evidence = new BoundedMap<Evidence>(MAX_EVIDENCE);

  constructor(deps: ProofJudgeDeps, host: ProofJudgeHost) {
    this.#deps = deps;
    this.#host = host;
  }

  standing(proof: PieceProof, digest: Digest, teller: string): Standing | undefined {
    return this.#deps.vouching.standing(proof, digest, teller);
  }

  verify(info: BlobInfo, proof: PieceProof): boolean {
    return this.#deps.vouching.verify(info, proof);
  }

  /** The peer told a proof that was not signed by whom it names: it cannot have verified a piece by it. */
  forged(teller: string): void {
    this.#deps.metrics.piecesRejected.inc({ reason: 'signature' });
    this.#host.ban(teller, 'forged-proof');
  }

  /** Two proofs that both are what they say: one signer that says two things of one read lies. */
  compare(info: BlobInfo, a: PieceProof, b: PieceProof): void {
    const signer = this.#deps.vouching.signerOf(a);
    if (signer === undefined || signer.id !== this.#deps.vouching.signerOf(b)?.id) return;
    if (a.index !== b.index || a.generation !== b.generation || sameBytes(a.hash, b.hash)) return;
    if (!this.verify(info, a) || !this.verify(info, b)) return;
    this.#convict(signer, 'contradiction', evidenceOf(info, [a, b]));
  }

  /** The blob did not match its digest: what was said of its pieces is kept until it is known what is right. */
  doubt({ digest }: BlobInfo, proofs: readonly PieceProof[]): void {
    const signed = proofs.filter(({ signature }) => signature.length > 0).slice(0, MAX_DISPROVED);
    if (signed.length > 0) this.#disproved.set(digest, signed);
  }

  /** The blob has matched its digest: whoever signed other pieces of it gets a strike. */
  settle(info: BlobInfo, right: (index: number) => PieceProof | undefined): void {
    const disproved = this.#disproved.get(info.digest) ?? [];
    this.#disproved.delete(info.digest);
    for (const proof of disproved) {
      const known = right(proof.index);
      if (known !== undefined && !sameBytes(known.hash, proof.hash)) this.#strike(info, proof);
    }
  }

  /** A neighbour shows what somebody has signed. */
  hear(evidence: Evidence, teller: string): void {
    const { digest, pieceBytes, proofs, size } = evidence;
    const info = { digest, size, pieceBytes, pieces: Math.ceil(size / pieceBytes) };
    const known = proofs.filter((proof) => this.#deps.vouching.signerOf(proof) !== undefined);
    if (known.some((proof) => !this.verify(info, proof))) {
      this.forged(teller);
      return;
    }
    const [a, b] = known;
    if (a !== undefined && b !== undefined) this.compare(info, a, b);
    for (const proof of known) {
      const right = proof.index < info.pieces ? this.#host.rightProof(info, proof.index) : undefined;
      if (right !== undefined && !sameBytes(right.hash, proof.hash)) this.#strike(info, proof);
    }
  }

  /** What members have signed against themselves: a new neighbour is shown it too. */
  get evidence(): readonly Evidence[] {
    return [...this.#evidence.values()];
  }

  #strike(info: BlobInfo, proof: PieceProof): void {
    const { log, metrics, vouching } = this.#deps;
    const signer = vouching.signerOf(proof);
    if (signer === undefined) return;
    const read = `${info.digest} ${proof.generation}`;
    const before = this.#strikes.get(signer.peerId) ?? new Set();
    if (before.has(read) || before.size > MOST_ACCIDENTS || !vouching.verify(info, proof)) return;
    const strikes = new Set([...before, read]);
    this.#strikes.set(signer.peerId, strikes);
    vouching.doubt(signer.peerId);
    metrics.strikes.inc();
    const facts = { signer: signer.peerId, digest: info.digest, index: proof.index, strikes: strikes.size };
    log.warn(facts, 'a member has signed a piece that is not in the blob');
    const evidence = evidenceOf(info, [proof]);
    if (strikes.size > MOST_ACCIDENTS) this.#convict(signer, 'wrong-reads', evidence);
    else this.#keep(signer, evidence);
  }

  #convict(signer: Signer, reason: string, evidence: Evidence): void {
    this.#deps.vouching.disbelieve(signer.peerId);
    this.#keep(signer, evidence);
    this.#host.ban(signer.peerId, reason);
  }

  /** Each piece of evidence goes round once: whoever has it already passes nothing on. */
  #keep(signer: Signer, evidence: Evidence): void {
    const key = `${signer.peerId} ${evidence.digest} ${evidence.proofs[0]?.generation ?? ''} ${evidence.proofs.length}`;
    if (this.#evidence.get(key) !== undefined) return;
    this.#evidence.set(key, evidence);
    this.#host.tell(evidence);
  }
}

function evidenceOf({ digest, pieceBytes, size }: BlobInfo, proofs: readonly PieceProof[]): Evidence {
  return { digest, size, pieceBytes, proofs };
}
