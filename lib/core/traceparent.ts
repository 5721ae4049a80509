/** `00-<trace>-<span>-<flags>` of W3C Trace Context; ids of zeros are none. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
/** What later versions begin with; what they add is not known here. */
const LATER_VERSION = /^(?!00|ff)[0-9a-f]{2}(-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?:-.*)?$/;

/** Whether the text says, in version 00, of which trace and span something is a part. */
export function isTraceparent(text: string): boolean {
  return TRACEPARENT.test(text);
}

/** A header's value as version 00; undefined when it is absent or none. */
export function readTraceparent(value: string | readonly string[] | undefined): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  const later = LATER_VERSION.exec(text)?.[1];
  const read = later === undefined ? text : `00${later}`;
  return isTraceparent(read) ? read : undefined;
}
