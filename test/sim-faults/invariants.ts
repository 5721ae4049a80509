/** What must be true whatever breaks; docs/ARCHITECTURE.md has the reasons. */
export type Invariant =
  /** A client was given a wrong byte, or a wrong blob as if it were whole. */
  | 'wrong-bytes'
  /** A peer that is none of the corrupt ones sent what does not match its proof. */
  | 'unverified-served'
  /** More was read from the registry than what went wrong can account for. */
  | 'read-twice'
  /** A pull failed although the registry could serve it. */
  | 'pull-failed'
  /** A pull did not end although the registry could serve it for long enough. */
  | 'pull-hangs'
  /** A client waited longer for a byte than clients do. */
  | 'silent-stall'
  /** A crash left on disk what is neither verified nor absent, or took what was held. */
  | 'disk'
  /** Memory beyond its bounds, or never given back. */
  | 'memory'
  /** The simulating process was silent for too long, as when something goes round without a pause, or died. */
  | 'process-lost'
  /** An exception that nobody expected. */
  | 'internal-error';

export interface Violation {
  readonly invariant: Invariant;
  readonly message: string;
  /** Time of the world, and how many events there were before. */
  readonly atMs: number;
  readonly step: number;
}
