export const ROLES = ['node', 'supernode'] as const;
export type Role = (typeof ROLES)[number];

/** How others reach a process that shares pieces. */
export interface PeerInfo {
  /** Stable name of the process in the cluster: 40 hex digits (20 random bytes, kept in the data directory). */
  readonly id: string;
  readonly role: Role;
  /** Where both peer control and pieces are served; in a hello an empty host means "the address you see me at". */
  readonly host: string;
  readonly port: number;
  /** Failure and bandwidth domain; empty = the default zone. */
  readonly zone: string;
}

/** Where a blob can be read when the swarm does not have it. `authorization` never leaves for anyone but a supernode. */
export interface BlobOrigin {
  /** Name of a configured upstream, as clients spell the registry: `harbor.corp`. */
  readonly upstream: string;
  /** Repository in that registry: `team/app`. */
  readonly repository: string;
  /** The caller's Authorization header value, if it sent one. A secret: never logged, never stored. */
  readonly authorization?: string;
  /** W3C traceparent of the work that the read is a part of: lib/observe/spans.ts. */
  readonly traceparent?: string;
}
