import { type Digest, isBlobKey } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { type BlobInfo, MAX_BLOB_BYTES } from '../core/geometry.ts';
import { type PieceProof, SIGNATURE_BYTES } from '../core/proof.ts';
import { isTraceparent } from '../core/traceparent.ts';
import { ByteReader, ByteWriter, encodeText, protocolError } from './peer-codec-bytes.ts';
import { decodeHello, encodeHello, MAX_HELLO_BYTES } from './peer-codec-hello.ts';
import type { PeerMessage, Slots } from './peer-messages.ts';

/** Proofs in one `have`: at most 501 KiB a message, so that a long list never holds up what comes after it. */
export const MAX_PROOFS_PER_MESSAGE = 4096;
/** Piece indexes stay below this: a bitmap of one blob is at most 512 KiB. */
export const MAX_PIECES = 2 ** 22;
/** As small as pieces of BitTorrent are; what a blob of many costs in memory is bounded by their number. */
const MIN_WIRE_PIECE_BYTES = 16 * 1024;
const MAX_WIRE_PIECE_BYTES = 16 * 1024 * 1024;
const MAX_DIGEST_BYTES = 135;
const MAX_NAME_BYTES = 1024;
/** As much as Node accepts as request head, so every Authorization that reached us fits. */
const MAX_AUTHORIZATION_BYTES = 16 * 1024;
/** Of version 00. */
const TRACEPARENT_BYTES = 55;
const MAX_CODE_BYTES = 64;
const MAX_REASON_BYTES = 1024;
/** A card with a few certificates. */
const MAX_VOUCHER_BYTES = 12 * 1024;
/** Digests in the list of a capability. */
const MAX_LISTED = 512;
/** Two contradict each other. */
const MAX_EVIDENCE_PROOFS = 2;
const HASH_BYTES = 32;
const GENERATION_BYTES = 8;
/** Reads of one blob in one message: each of its owners, and nodes that stepped in. */
const MAX_GENERATIONS = 255;
const PROOF_BYTES = 4 + HASH_BYTES + GENERATION_BYTES + 1 + SIGNATURE_BYTES;

/** First byte of every message. Numbers are never reused: an unknown one is skipped by older peers. */
const TYPE = {
  hello: 1,
  open: 2,
  close: 3,
  have: 4,
  slots: 5,
  offer: 6,
  decline: 7,
  origin: 8,
  'origin-failed': 9,
  wrong: 10,
  voucher: 11,
  evidence: 12,
  capability: 13,
  traced: 14,
  reverse: 15,
  want: 16,
} as const satisfies Record<PeerMessage['type'], number>;

/** Like {@link encodePeerMessage}, with a `have` of any length cut into messages that fit. */
export function encodePeerMessages(message: PeerMessage): Uint8Array[] {
  if (message.type !== 'have' || message.proofs.length <= MAX_PROOFS_PER_MESSAGE) {
    return [encodePeerMessage(message)];
  }
  const encoded: Uint8Array[] = [];
  for (let from = 0; from < message.proofs.length; from += MAX_PROOFS_PER_MESSAGE) {
    const proofs = message.proofs.slice(from, from + MAX_PROOFS_PER_MESSAGE);
    encoded.push(encodePeerMessage({ ...message, proofs }));
  }
  return encoded;
}

/**
 * One message as bytes: its type, then fixed fields, little endian.
 * @throws INTERNAL when a field is longer than any peer accepts
 */
export function encodePeerMessage(message: PeerMessage): Uint8Array {
  const proofs = message.type === 'have' ? message.proofs.length : 1;
  const writer = new ByteWriter(16 + proofs * PROOF_BYTES);
  writer.u8(TYPE[message.type]);
  switch (message.type) {
    case 'hello': {
      const hello = encodeHello(message);
      if (hello.length > MAX_HELLO_BYTES) throw new DamselflyError('INTERNAL', 'the hello is too long');
      writer.bytes(hello);
      break;
    }
    case 'open':
      writer.u32(message.handle);
      writer.text(message.digest, MAX_DIGEST_BYTES);
      writer.u64(message.size);
      writer.u32(message.pieceBytes);
      break;
    case 'close':
      writer.u32(message.handle);
      break;
    case 'reverse':
      break;
    case 'voucher':
      writer.text(message.text, MAX_VOUCHER_BYTES);
      break;
    case 'capability':
      writer.text(message.text, MAX_VOUCHER_BYTES);
      writer.u16(message.digests.length);
      for (const digest of message.digests) writer.text(digest, MAX_DIGEST_BYTES);
      break;
    case 'evidence': {
      const shown = message.proofs.slice(0, MAX_EVIDENCE_PROOFS);
      writer.text(message.digest, MAX_DIGEST_BYTES);
      writer.u64(message.size);
      writer.u32(message.pieceBytes);
      writer.u8(shown.length);
      for (const proof of shown) writeProof(writer, proof);
      break;
    }
    case 'have':
      if (proofs > MAX_PROOFS_PER_MESSAGE) {
        throw new DamselflyError('INTERNAL', `${proofs} proofs do not fit in a message`);
      }
      writer.u32(message.handle);
      writeSlots(writer, message.slots);
      writer.u16(proofs);
      for (const proof of message.proofs) writeProof(writer, proof);
      break;
    case 'slots':
      writeSlots(writer, message.slots);
      writer.u8(message.hungry ? 1 : 0);
      break;
    case 'offer':
      writer.u32(message.handle);
      writeSlots(writer, message.slots);
      writeProof(writer, message.proof);
      break;
    case 'decline':
    case 'want':
      writer.u32(message.handle);
      writeSlots(writer, message.slots);
      writer.u32(message.index);
      break;
    case 'origin':
      writer.u32(message.handle);
      writer.text(message.upstream, MAX_NAME_BYTES);
      writer.text(message.repository, MAX_NAME_BYTES);
      writer.u8(message.authorization === undefined ? 0 : 1);
      if (message.authorization !== undefined) writer.text(message.authorization, MAX_AUTHORIZATION_BYTES);
      break;
    case 'traced':
      writer.u32(message.handle);
      writer.text(message.traceparent, TRACEPARENT_BYTES);
      break;
    case 'origin-failed':
      writer.u32(message.handle);
      writer.text(message.code, MAX_CODE_BYTES);
      writer.u16(message.status);
      writer.text(cutText(message.message, MAX_REASON_BYTES), MAX_REASON_BYTES);
      break;
    case 'wrong': {
      const generations = message.generations.slice(0, MAX_GENERATIONS);
      writer.u32(message.handle);
      writer.u8(generations.length);
      for (const generation of generations) writer.bytes(Buffer.from(generation, 'hex'));
      break;
    }
  }
  return writer.finish();
}

/**
 * Reads one message; nothing of the result points into `bytes`. Undefined: a type this version does not know, to be
 * skipped.
 * @throws PEER_PROTOCOL, and nothing else, whatever the bytes are
 */
export function decodePeerMessage(bytes: Uint8Array): PeerMessage | undefined {
  const reader = new ByteReader(bytes);
  const message = readMessage(reader, reader.u8());
  if (message !== undefined) reader.end();
  return message;
}

function readMessage(reader: ByteReader, type: number): PeerMessage | undefined {
  switch (type) {
    case TYPE.hello:
      return decodeHello(reader.rest());
    case TYPE.open:
      return { type: 'open', handle: reader.u32(), ...readBlob(reader) };
    case TYPE.voucher:
      return { type: 'voucher', text: readHeaderText(reader, MAX_VOUCHER_BYTES) };
    case TYPE.capability: {
      const text = readHeaderText(reader, MAX_VOUCHER_BYTES);
      const count = reader.u16();
      if (count > MAX_LISTED) throw protocolError(`a list of ${count} digests`);
      return { type: 'capability', text, digests: Array.from({ length: count }, () => readDigest(reader)) };
    }
    case TYPE.evidence: {
      const blob = readBlob(reader);
      const count = reader.u8();
      if (count > MAX_EVIDENCE_PROOFS) throw protocolError(`${count} proofs as evidence`);
      return { type: 'evidence', ...blob, proofs: readProofs(reader, count) };
    }
    case TYPE.reverse:
      return { type: 'reverse' };
    case TYPE.close:
      return { type: 'close', handle: reader.u32() };
    case TYPE.have: {
      const handle = reader.u32();
      const slots = readSlots(reader);
      return { type: 'have', handle, slots, proofs: readProofs(reader, reader.u16()) };
    }
    case TYPE.slots:
      return { type: 'slots', slots: readSlots(reader), hungry: readFlag(reader) };
    case TYPE.offer: {
      const handle = reader.u32();
      const slots = readSlots(reader);
      return { type: 'offer', handle, slots, proof: readProofs(reader, 1)[0] as PieceProof };
    }
    case TYPE.decline: {
      const handle = reader.u32();
      const slots = readSlots(reader);
      return { type: 'decline', handle, slots, index: readIndex(reader) };
    }
    case TYPE.want: {
      const handle = reader.u32();
      const slots = readSlots(reader);
      return { type: 'want', handle, slots, index: readIndex(reader) };
    }
    case TYPE.origin: {
      const handle = reader.u32();
      const upstream = readHeaderText(reader, MAX_NAME_BYTES);
      const repository = readHeaderText(reader, MAX_NAME_BYTES);
      if (!readFlag(reader)) return { type: 'origin', handle, upstream, repository };
      const authorization = readHeaderText(reader, MAX_AUTHORIZATION_BYTES);
      return { type: 'origin', handle, upstream, repository, authorization };
    }
    case TYPE.traced: {
      const handle = reader.u32();
      const traceparent = reader.text(TRACEPARENT_BYTES);
      if (!isTraceparent(traceparent)) throw protocolError('not a traceparent');
      return { type: 'traced', handle, traceparent };
    }
    case TYPE['origin-failed']: {
      const handle = reader.u32();
      const code = readHeaderText(reader, MAX_CODE_BYTES);
      const status = reader.u16();
      return { type: 'origin-failed', handle, code, status, message: reader.text(MAX_REASON_BYTES) };
    }
    case TYPE.wrong: {
      const handle = reader.u32();
      const generations = Array.from({ length: reader.u8() }, () =>
        Buffer.from(reader.bytes(GENERATION_BYTES)).toString('hex'),
      );
      return { type: 'wrong', handle, generations };
    }
    default:
      return undefined;
  }
}

function readDigest(reader: ByteReader): Digest {
  const digest = reader.text(MAX_DIGEST_BYTES);
  if (!isBlobKey(digest)) throw protocolError('not a digest');
  return digest;
}

/** Which blob, and how it is cut. */
function readBlob(reader: ByteReader): Pick<BlobInfo, 'digest' | 'size' | 'pieceBytes'> {
  const digest = readDigest(reader);
  const size = reader.u64();
  const pieceBytes = reader.u32();
  if (size > MAX_BLOB_BYTES) throw protocolError(`a blob of ${size} bytes`);
  const powerOfTwo = (pieceBytes & (pieceBytes - 1)) === 0;
  if (!powerOfTwo || pieceBytes < MIN_WIRE_PIECE_BYTES || pieceBytes > MAX_WIRE_PIECE_BYTES) {
    throw protocolError(`pieces of ${pieceBytes} bytes`);
  }
  if (size > pieceBytes * MAX_PIECES) throw protocolError('too many pieces');
  return { digest, size, pieceBytes };
}

function writeSlots(writer: ByteWriter, slots: Slots): void {
  writer.u8(Math.min(slots.up, 255));
  writer.u8(Math.min(slots.down, 255));
}

function readSlots(reader: ByteReader): Slots {
  const up = reader.u8();
  return { up, down: reader.u8() };
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8();
  if (flag > 1) throw protocolError(`a flag of ${flag}`);
  return flag === 1;
}

function readIndex(reader: ByteReader): number {
  const index = reader.u32();
  if (index >= MAX_PIECES) throw protocolError(`piece index ${index}`);
  return index;
}

/** Upstreams, repositories and credentials go into requests to registries: no control characters, never empty. */
function readHeaderText(reader: ByteReader, maxBytes: number): string {
  const text = reader.text(maxBytes);
  if (!/^[\x20-\x7e\x80-\u{10ffff}]+$/u.test(text)) {
    throw protocolError('a text that is empty or not printable');
  }
  return text;
}

function writeProof(writer: ByteWriter, proof: PieceProof): void {
  writer.u32(proof.index);
  writer.bytes(proof.hash);
  writer.bytes(Buffer.from(proof.generation, 'hex'));
  writer.u8(proof.signature.length);
  writer.bytes(proof.signature);
}

function readProofs(reader: ByteReader, count: number): PieceProof[] {
  if (count > MAX_PROOFS_PER_MESSAGE) throw protocolError(`${count} proofs in a message`);
  // One copy for all proofs of the message: they outlive it, and the network reuses or drops its memory.
  const copy = new ByteReader(new Uint8Array(reader.rest()));
  const proofs: PieceProof[] = [];
  let generation = '';
  let generationBytes: Uint8Array = new Uint8Array();
  for (let i = 0; i < count; i++) {
    const index = readIndex(copy);
    const hash = copy.bytes(HASH_BYTES);
    const bytes = copy.bytes(GENERATION_BYTES);
    // Proofs of one message nearly always share a generation, and so its text.
    if (Buffer.compare(bytes, generationBytes) !== 0) {
      generation = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
      generationBytes = bytes;
    }
    const signatureBytes = copy.u8();
    if (signatureBytes !== 0 && signatureBytes !== SIGNATURE_BYTES) {
      throw protocolError('a signature of wrong length');
    }
    proofs.push({ index, hash, generation, signature: copy.bytes(signatureBytes) });
  }
  copy.end();
  return proofs;
}

/** The longest beginning of the text that fits in `maxBytes` of UTF-8. */
function cutText(text: string, maxBytes: number): string {
  const bytes = encodeText(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  // Step back from the middle of a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
