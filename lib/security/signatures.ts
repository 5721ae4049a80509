import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { BoundedMap } from '../core/bounded-map.ts';
import { SIGNATURE_BYTES, SIGNER_ID_BYTES } from '../core/proof.ts';
import { fingerprintOf } from './cluster-authority.ts';
import type { Credentials } from './credentials.ts';
import { isRevoked } from './revocation-list.ts';
import { certificatesIn, openSigningKey, readCard, type Signer, type SigningKey } from './signer-card.ts';
import type { TlsKeys } from './system/mutual-tls.ts';

/** Signers known at once: a few supernodes and trackers, and nodes that read in their place. */
const MAX_SIGNERS = 1024;

interface Known {
  readonly card: string;
  readonly signer: Signer;
}

/** Signs in the name of this process, and checks what other members of the cluster have signed. */
export class Signatures {
  readonly #credentials: Credentials;
  readonly #known = new BoundedMap<Known>(MAX_SIGNERS);
  #own: { readonly keys: TlsKeys; readonly key: SigningKey; readonly fingerprint: string } | undefined;
  #ownKey: KeyObject | undefined;
  #trusted: { readonly ca: TlsKeys['ca']; readonly authorities: readonly X509Certificate[] } | undefined;

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
    this.learn(this.card);
  }

  /** Our own card: see {@link SigningKey}. */
  get card(): string {
    return this.#signing().key.card;
  }

  /** Our own name as a signer. */
  get id(): string {
    return this.#signing().key.id;
  }

  /** SHA-256 of our certificate in force, hex. */
  get fingerprint(): string {
    return this.#signing().fingerprint;
  }

  /** Signs in our name: {@link SIGNATURE_BYTES}. */
  sign(statement: Uint8Array): Uint8Array {
    const { id, privateKey } = this.#signing().key;
    const signature = new Uint8Array(SIGNATURE_BYTES);
    Buffer.from(signature.buffer).write(id, 'hex');
    signature.set(sign(null, statement, privateKey), SIGNER_ID_BYTES);
    return signature;
  }

  /** Notes whose key a card names. @returns that; undefined when it is none of this cluster */
  learn(card: string): Signer | undefined {
    const { ca } = this.#credentials.keys;
    if (this.#trusted?.ca !== ca) this.#trusted = { ca, authorities: certificatesIn(ca) };
    const { cluster } = this.#credentials.identity;
    const signer = readCard(card, { authorities: this.#trusted.authorities, cluster });
    if (signer === undefined) return undefined;
    const known = this.#known.get(signer.id);
    // The card that counts for longer.
    if (known === undefined || known.signer.validUntilMs < signer.validUntilMs) {
      this.#known.set(signer.id, { card, signer });
    }
    return this.#entitled(signer);
  }

  /** The card of a signer that we know. */
  cardOf(id: string): string | undefined {
    return id === this.id ? this.card : this.#known.get(id)?.card;
  }

  /** Who says to have signed: nothing is checked but that the cluster knows it, and has not revoked it. */
  signerOf(signature: Uint8Array): Signer | undefined {
    const known = this.#known.get(signerIdIn(signature));
    return known === undefined ? undefined : this.#entitled(known.signer);
  }

  /** Whether the one who says so has signed the statement. Costs about 0.1 ms of CPU. */
  verify(statement: Uint8Array, signature: Uint8Array): boolean {
    const signer = this.signerOf(signature);
    if (signer === undefined || signature.length !== SIGNATURE_BYTES) return false;
    return verify(null, statement, signer.publicKey, signature.subarray(SIGNER_ID_BYTES));
  }

  #entitled(signer: Signer): Signer | undefined {
    const { revoked } = this.#credentials;
    const { name, role } = signer.identity;
    return isRevoked(revoked, role, name) || revoked.serials.includes(signer.serial) ? undefined : signer;
  }

  #signing(): { readonly key: SigningKey; readonly fingerprint: string } {
    const { keys } = this.#credentials;
    if (this.#own?.keys !== keys) {
      if (this.#ownKey === undefined && createPrivateKey(keys.key).asymmetricKeyType !== 'ed25519') {
        this.#ownKey = openSigningKey(keys).privateKey;
      }
      const fingerprint = fingerprintOf(new X509Certificate(keys.cert)).toString('hex');
      this.#own = { keys, key: openSigningKey(keys, this.#ownKey), fingerprint };
    }
    return this.#own;
  }
}

/** The signer that a signature names; an empty text for none. */
export function signerIdIn(signature: Uint8Array): string {
  return Buffer.from(
    signature.buffer,
    signature.byteOffset,
    Math.min(signature.length, SIGNER_ID_BYTES),
  ).toString('hex');
}
