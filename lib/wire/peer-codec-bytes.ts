import { DamselflyError } from '../core/errors.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true });
const TO_UTF8 = new TextEncoder();
const TWO_TO_32 = 2 ** 32;

/** Why a message was refused; the only error that decoding throws. */
export function protocolError(what: string): DamselflyError {
  return new DamselflyError('PEER_PROTOCOL', `a peer message breaks the protocol: ${what}`);
}

/** Reads little-endian fields from one message. Every method throws PEER_PROTOCOL at the message's end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** Exact only below 2^53; callers cap far lower. */
  u64(): number {
    const low = this.u32();
    return this.u32() * TWO_TO_32 + low;
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** UTF-8 text behind a 16-bit byte count of at most `maxBytes`. */
  text(maxBytes: number): string {
    const length = this.u16();
    if (length > maxBytes) throw protocolError(`a text of ${length} bytes, at most ${maxBytes} allowed`);
    return decodeText(this.bytes(length));
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  end(): void {
    if (this.remaining !== 0) throw protocolError(`${this.remaining} bytes too many`);
  }

  #advance(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw protocolError('cut short');
    this.#at = at + length;
    return at;
  }
}

/** @throws PEER_PROTOCOL when the bytes are not UTF-8 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw protocolError('a text that is not UTF-8');
  }
}

export function encodeText(text: string): Uint8Array {
  return TO_UTF8.encode(text);
}

/** Writes little-endian fields into one growing buffer. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  /** @param expectedBytes what to allocate at first; a good guess saves copies */
  constructor(expectedBytes: number) {
    this.#bytes = new Uint8Array(expectedBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    this.u32(value % TWO_TO_32);
    this.u32(Math.floor(value / TWO_TO_32));
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** @throws INTERNAL when the text is longer than what the other side accepts */
  text(text: string, maxBytes: number): void {
    const bytes = encodeText(text);
    if (bytes.length > maxBytes) {
      throw new DamselflyError('INTERNAL', `a text of ${bytes.length} bytes does not fit in a peer message`);
    }
    this.u16(bytes.length);
    this.bytes(bytes);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** May replace the memory: call it before naming that. */
  #reserve(length: number): number {
    const at = this.#at;
    this.#at = at + length;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
