import type {
  BlobKey,
  DhtDoor,
  MemberAddress,
  MemberAnswer,
  MemberQuestion,
} from '../../wire/member-codec.ts';

/** Names a process in the DHT: its libp2p peer id, as text. */
export type MemberId = string;

/**
 * The distributed hash table of the cluster: who holds what, found without any server. Its real one is libp2p
 * (libp2p-dht.ts). Everything rejects with PEER_UNREACHABLE, PEER_PROTOCOL or ABORTED.
 */
export interface Dht {
  /** Where others reach it on this machine. */
  readonly door: DhtDoor;
  /** Connects to a member; whom it knows is met by and by. */
  join(address: MemberAddress, signal: AbortSignal): Promise<void>;
  /** Asks a member something, over a connection that is there or is made. */
  ask(member: MemberId, question: MemberQuestion, signal: AbortSignal): Promise<Heard<MemberAnswer>>;
  /** Records that this process provides the key, with the members nearest to it. */
  provide(key: BlobKey, signal: AbortSignal): Promise<void>;
  /** Keeps no record of our own for the key any more; those of others run out. */
  forget(key: BlobKey): Promise<void>;
  /** Members with a record for the key, never this process itself; each once. Ends when nobody knows of more. */
  find(key: BlobKey, signal: AbortSignal): AsyncIterable<MemberId>;
  /** Where a connected member's DHT is reached; undefined when that is not known. */
  addressOf(member: MemberId): Promise<MemberAddress | undefined>;
  close(): Promise<void>;
}

/** A message and the address that it came from. */
export interface Heard<T> {
  readonly message: T;
  readonly host: string;
}

export interface DhtListener {
  /** A member asks. */
  asked(member: MemberId, question: Heard<MemberQuestion>): Promise<MemberAnswer>;
  connected(member: MemberId): void;
  disconnected(member: MemberId): void;
}

export type OpenDht = (listener: DhtListener) => Promise<Dht>;

/** How long the record of a provider lives, milliseconds, unless it is renewed. */
export const RECORD_LIFETIME_MS = 2 * 60 * 60_000;
