/**
 * The one error type of Damselfly. `code` is stable and documented in docs/ERRORS.md; `message` says what happened
 * and, where the reader can act, what to do; `facts` are the values involved (never a secret).
 */
export const ERROR_CODES = {
  CONFIG_INVALID: { status: 500, meaning: 'a flag, environment variable or config file has a wrong value' },
  DIGEST_INVALID: {
    status: 400,
    meaning: 'not a digest that Damselfly can verify (sha256 or sha512, lower-case hex)',
  },
  REFERENCE_INVALID: { status: 400, meaning: 'not an image reference' },
  RANGE_INVALID: { status: 416, meaning: 'the requested range lies outside the blob' },
  UPSTREAM_UNKNOWN: { status: 404, meaning: 'the registry is not among the configured upstreams' },
  UPSTREAM_UNREACHABLE: { status: 502, meaning: 'the registry did not answer' },
  UPSTREAM_REFUSED: { status: 502, meaning: 'the registry answered with an error status' },
  UPSTREAM_BROKEN: { status: 502, meaning: 'the registry sent fewer, more or other bytes than it promised' },
  BLOB_UNKNOWN: { status: 404, meaning: 'the blob does not exist where it was asked for' },
  DIGEST_MISMATCH: { status: 502, meaning: 'the bytes of a whole blob do not match its digest' },
  PIECE_MISMATCH: { status: 502, meaning: 'the bytes of a piece do not match its proof' },
  PEER_PROTOCOL: { status: 400, meaning: 'a peer or tracker sent a message that breaks the protocol' },
  PEER_UNREACHABLE: { status: 502, meaning: 'a peer could not be reached, stalled or closed the connection' },
  PEER_UNTRUSTED: {
    status: 502,
    meaning: "a peer's certificate and ours are not of the same cluster's authority",
  },
  IDENTITY_REFUSED: {
    status: 403,
    meaning: 'a join token or a certificate does not let its holder do this; `facts.reason` says why',
  },
  PEER_BUSY: { status: 503, meaning: 'a peer has no free upload slot' },
  TRACKER_UNREACHABLE: { status: 502, meaning: 'no tracker answers' },
  DAEMON_UNREACHABLE: { status: 502, meaning: 'no daemon listens on the local socket' },
  UPGRADE_FAILED: { status: 409, meaning: 'another daemon could not take over; the one that ran goes on' },
  SETUP_REFUSED: {
    status: 409,
    meaning: "a container client's configuration cannot be changed, or changed back, without harm",
  },
  FILE_FAILED: { status: 500, meaning: 'a file that a command was given cannot be read or written' },
  STORE_FULL: { status: 507, meaning: 'the disk or the quota of the store is full' },
  STORE_FAILED: { status: 500, meaning: 'the store could not read or write' },
  LOCAL_ONLY: {
    status: 403,
    meaning: 'only somebody on the same machine, or with the token of the port, may do this, and no web page',
  },
  STORE_READ_ONLY: { status: 500, meaning: 'the disk of a data directory takes no writes' },
  STORE_LOCKED: { status: 500, meaning: 'another process uses the data directory' },
  STORE_VERSION: { status: 500, meaning: 'another version of Damselfly wrote the data directory' },
  JOB_REFUSED: { status: 429, meaning: 'a tracker takes no such job now, or nobody is there to do it' },
  JOB_UNKNOWN: { status: 404, meaning: 'the tracker has no job of that number' },
  JOB_TIMEOUT: { status: 504, meaning: 'a job was not done in the time that it was given' },
  PLAN_STOPPED: {
    status: 409,
    meaning: 'a staged rollout does not go on: its gate or somebody has stopped it, or it is over',
  },
  CALLER_REFUSED: {
    status: 401,
    meaning: 'the caller has not proved that it may ask this of a tracker; see docs/PREHEAT.md',
  },
  ABORTED: { status: 499, meaning: 'the caller gave up' },
  INTERNAL: { status: 500, meaning: 'a bug in Damselfly' },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

export class DamselflyError extends Error {
  static override readonly name = 'DamselflyError';
  override readonly name = 'DamselflyError';
  readonly code: ErrorCode;
  readonly facts: Facts;

  constructor(code: ErrorCode, message: string, facts: Facts = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** True for our own error with that code. */
export function hasCode(error: unknown, code: ErrorCode): error is DamselflyError {
  return error instanceof DamselflyError && error.code === code;
}

/** The error that every wait rejects with when its signal fires. */
export function abortedError(signal: AbortSignal): DamselflyError {
  return new DamselflyError('ABORTED', 'the caller gave up', {}, { cause: signal.reason });
}

/** One line for a log or a terminal, whatever was thrown. */
export function describeError(error: unknown): string {
  if (error instanceof DamselflyError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
