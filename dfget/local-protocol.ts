/** Header that carries the Authorization for the registry over the daemon's socket. */
export const ORIGIN_AUTHORIZATION = 'damselfly-origin-authorization';

/** Answer of `GET /v1/status`. */
export interface DaemonStatus {
  readonly id: string;
  readonly zone: string;
  readonly upstreams: readonly string[];
  /** With the registry that a listener is for, if it is for one. */
  readonly proxy: readonly { readonly host: string; readonly port: number; readonly upstream?: string }[];
  readonly peer: string;
  readonly admin: string;
  readonly tracker: { readonly reachable: boolean };
  readonly store: { readonly blobs: number; readonly complete: number; readonly bytes: number };
  readonly neighbours: readonly {
    readonly id: string;
    readonly role: string;
    readonly host: string;
    readonly port: number;
    readonly zone: string;
  }[];
  readonly blobs: readonly {
    readonly digest: string;
    readonly size: number;
    readonly pieces: number;
    readonly held: number;
    readonly readers: number;
  }[];
}
