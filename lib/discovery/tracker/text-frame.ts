/** Payloads beyond these have their length in 16 or 64 bits behind the first two bytes. */
const MAX_SHORT_BYTES = 125;
const MAX_MEDIUM_BYTES = 0xffff;
/** Final fragment, text. */
const TEXT = 0x81;
const MEDIUM = 126;

/**
 * A text message as one unmasked WebSocket frame, as a server sends it (RFC 6455 section 5.2), one character a byte. A
 * WebSocket writes the head and the text apart, which costs a crowd's tracker as much as the rest of the answer.
 * @returns undefined for texts that are not plain ASCII, or longer than 64 KiB
 */
export function textFrame(text: string): string | undefined {
  const { length } = text;
  if (length > MAX_MEDIUM_BYTES || Buffer.byteLength(text) !== length) return undefined;
  if (length <= MAX_SHORT_BYTES) return String.fromCharCode(TEXT, length) + text;
  return String.fromCharCode(TEXT, MEDIUM, length >> 8, length & 0xff) + text;
}
