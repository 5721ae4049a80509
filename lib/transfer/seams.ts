import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { ByteRange } from '../core/range.ts';
import type { Pace } from '../runtime/rate-limit.ts';

import { DEFAULT_PEER_CORE_OPTIONS } from '../swarm/peer-core-options.ts';

import type { CapabilityAnswer, CapabilityQuestion } from '../wire/capability-codec.ts';

import type { DhtDoor } from '../wire/member-codec.ts';
import type { SmallBlobsQuestion } from '../wire/small-blobs-codec.ts';

/** Where a peer listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Who the other side of a connection has proved to be. */
export interface PeerMember extends Pick<PeerInfo, 'id' | 'role'> {
  /** SHA-256 of its certificate, 64 hex digits. */
  readonly fingerprint: string;
}

/** One connection that carries whole messages both ways: peer control. In the daemon a WebSocket. */
export interface Link {
  /** Address of the other side as the network shows it. */
  readonly remoteHost: string;
  /** Absent where nobody has to prove who it is. */
  readonly member?: PeerMember | undefined;
  /** Whether a link that we have dialled should make way for a new one, since certificates change; absent where there are none. */
  readonly isOld?: boolean;
  /** Queues one message; dropped silently after close. */
  send(message: Uint8Array): void;
  /** Bytes queued and not yet handed to the network. */
  readonly bufferedBytes: number;
  /** Sets the only listener. Messages that came before are delivered at once; `closed` is called exactly once. */
  listen(listener: LinkListener): void;
  /** Ends the link from our side. A second call is harmless. */
  close(reason: string): void;
}

export interface LinkListener {
  message(message: Uint8Array): void;
  closed(reason: string): void;
}

export interface LinkDialer {
  /** @throws PEER_UNREACHABLE, ABORTED */
  dial(address: Address, options: { readonly signal: AbortSignal }): Promise<Link>;
}

/** Who can be had to connect to us when we cannot dial it. */
export interface ReverseWay {
  /** Its id: nobody else's connection is taken. */
  readonly peer: string;
  /** Asks it, over its link, for one connection to us. */
  readonly ask: () => void;
}

/** Connects to peers that cannot dial us, for them to ask for pieces. */
export interface ReverseDialer {
  /**
   * Opens one connection to a peer that has asked for it; from then on the peer's piece requests are answered on it as
   * on those that it has dialled, by the handlers of our listener.
   * @param to where it listens, its id, and ours
   * @throws PEER_UNREACHABLE (also when it waits for none, or we do not listen), PEER_UNTRUSTED (it is somebody else),
   * ABORTED
   */
  connectBack(
    to: { readonly address: Address; readonly peer: string; readonly from: string },
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
}

/** Fetches pieces from peers. */
export interface PieceTransport {
  /**
   * Fills `into` (exactly `range` long) with the bytes of `range`. Nothing is verified here.
   * @throws PEER_BUSY (`facts.freeSlots`), BLOB_UNKNOWN (the peer does not have it), PEER_UNREACHABLE, PEER_PROTOCOL,
   * ABORTED
   */
  fetch(request: PieceRequest, into: Uint8Array, options: PieceFetchOptions): Promise<void>;
  /** Ends idle and busy connections. */
  close(): Promise<void>;
}

export interface PieceRequest {
  readonly address: Address;
  /** Node id of the asker: the server admits only neighbours. */
  readonly from: string;
  readonly digest: Digest;
  readonly range: ByteRange;
}

export interface PieceFetchOptions {
  readonly signal: AbortSignal;
  /** Called whenever bytes have arrived, with the number received so far. */
  readonly onProgress?: (receivedBytes: number) => void;
  /** Told of bytes as they arrive; the rest is left with the network until their turn has come. */
  readonly pace?: Pace | undefined;
  /** A way to the peer besides its address. @default none: it must be dialled */
  readonly reverse?: ReverseWay | undefined;
}

/** An upload of which the receiver takes nothing for so long is idle: a receiver suspects its sender as soon. */
export const IDLE_UPLOAD_MS = DEFAULT_PEER_CORE_OPTIONS.suspectMs;

/** What a peer server asks for each piece request. */
export type PieceAdmission =
  /**
   * `read` fills `into` from byte `offset` of the blob; `done` is called exactly once, when the response has ended.
   * Before that `idle` is called at most once, when the receiver has taken nothing for {@link IDLE_UPLOAD_MS} to twice
   * that; the upload goes on, should it wake up.
   */
  | {
      readonly kind: 'serve';
      readonly size: number;
      read(offset: number, into: Uint8Array): Promise<void>;
      /** Asked before bytes are read to be sent. */
      readonly pace?: Pace | undefined;
      idle(): void;
      done(sentBytes: number): void;
    }
  | { readonly kind: 'busy'; readonly freeSlots: number }
  /** Not here, or not for this asker. */
  | { readonly kind: 'unknown' };

export interface PeerServerHandlers {
  link(link: Link): void;
  piece(request: Omit<PieceRequest, 'address'>): PieceAdmission;
  /** Where this process's DHT listens. Absent: it is in none. @throws PEER_UNREACHABLE */
  dhtDoor?(): Promise<DhtDoor>;
  /**
   * Bytes of each blob in the order of the question, undefined for those that are not here. The signal fires when the
   * asker has gone. Absent: nothing is here.
   */
  smallBlobs?(
    request: Omit<SmallBlobsRequest, 'address'>,
    options: { readonly signal: AbortSignal },
  ): Promise<SmallBlobsAnswer>;
  /** A member asks for a capability; undefined: it gets none. Absent: nobody here gives any. @throws UPSTREAM_*, ABORTED */
  capability?(
    from: PeerMember,
    question: CapabilityQuestion,
    options: { readonly signal: AbortSignal },
  ): Promise<CapabilityAnswer | undefined>;
}

/**
 * That somebody is there who was asked: its machine has taken the connection, which a process that stands still does not
 * prevent; or the process itself speaks, and says about every {@link WORKING_EVERY_MS} that it works on the question.
 */
export type SignOfLife = 'taken' | 'works';

/** Few questions wait for so long, and a supernode with thousands of them has better to do, milliseconds. */
export const WORKING_EVERY_MS = 1500;

/** Asks supernodes for the right to get blobs from peers. */
export interface CapabilityTransport {
  /** @returns undefined when there is no such right. @throws PEER_UNREACHABLE, PEER_BUSY, PEER_PROTOCOL, ABORTED */
  askCapability(
    asked: { readonly address: Address; readonly question: CapabilityQuestion },
    options: { readonly signal: AbortSignal; readonly onSign?: (sign: SignOfLife) => void },
  ): Promise<CapabilityAnswer | undefined>;
}

/** Asks peers where their DHT listens: they join it at the latest then. */
export interface DhtLocator {
  /** @throws PEER_UNREACHABLE (also when the peer is in no DHT), PEER_PROTOCOL, ABORTED */
  locateDht(address: Address, options: { readonly signal: AbortSignal }): Promise<DhtDoor>;
}

/** Fetches small blobs whole, several in one round trip. */
export interface SmallBlobTransport {
  /**
   * Bytes of each blob in the order of the question, as long as was asked for, undefined for those that the peer does
   * not have. Nothing is verified here.
   * @throws PEER_BUSY, PEER_UNREACHABLE, PEER_PROTOCOL, ABORTED
   */
  fetchSmall(
    request: SmallBlobsRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<SmallBlobsAnswer>;
}

export interface SmallBlobsRequest extends SmallBlobsQuestion {
  readonly address: Address;
  /** Node id of the asker. */
  readonly from: string;
  /** SHA-256 of the certificate that the asker has shown, hex: known to the side that is asked. */
  readonly fingerprint?: string | undefined;
}

export type SmallBlobsAnswer = readonly (Uint8Array | undefined)[];

/** Listens on the peer port: links and piece requests on one address. */
export interface PeerListener {
  readonly address: Address;
  /** Its socket, to hand to another process; absent where there is none. */
  readonly fd?: number | undefined;
  close(): Promise<void>;
}

/** Everything a process needs to talk to peers; the HTTP one and its in-memory twin. */
export interface PeerNetwork
  extends LinkDialer,
    PieceTransport,
    ReverseDialer,
    SmallBlobTransport,
    CapabilityTransport {
  /** @param address with `fd`, a socket that listens there already */
  listen(address: Address & { readonly fd?: number }, handlers: PeerServerHandlers): Promise<PeerListener>;
}
