/** The longest path that a Unix socket can have, bytes (Linux, unix(7), without the ending zero). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Header that carries the Authorization for the registry over the daemon's socket. */
export const ORIGIN_AUTHORIZATION = 'damselfly-origin-authorization';

/** One entry of the answer of `GET /v1/registries`: what a registry says to the daemon's `GET /v2/`, or why it says nothing. */
export type RegistryAnswer =
  | { readonly name: string; readonly status: number; readonly date: string | null }
  | {
      readonly name: string;
      readonly failed: string;
      /** Its certificate was not accepted. */
      readonly certificate: boolean;
    };

/** Whom the kill switch is for. */
export type PauseScope = 'node' | 'cluster';

/** Answer of `POST /v1/pause` and `POST /v1/resume`, which take `{upstream, scope?}`. */
export interface PauseAnswer {
  /** What is paused in that scope then. */
  readonly paused: readonly string[];
  /** What the other of the two switches has paused on this node. */
  readonly otherSwitch: readonly string[];
  readonly scope: PauseScope;
  /** False: no tracker has confirmed it yet. The others hear of it when one can be reached again. */
  readonly confirmed: boolean;
}

/** Answer of `GET /v1/status`. */
export interface DaemonStatus {
  readonly id: string;
  readonly zone: string;
  readonly upstreams: readonly string[];
  /** With the registry that a listener is for, if it is for one. */
  readonly proxy: readonly { readonly host: string; readonly port: number; readonly upstream?: string }[];
  readonly peer: string;
  readonly admin: string;
  readonly tracker: { readonly reachable: boolean; readonly urls: readonly string[] };
  /** Upstreams whose pulls go straight to the registry, or `all`. */
  readonly paused: readonly string[];
  /** Those of them that are paused on this node whatever the cluster says. */
  readonly pausedHere: readonly string[];
  /** Where its store is; of several data directories, the first that works. */
  readonly dataDir: string;
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
    /** Of the oldest pull under way: the shortest time that it could have taken so far, over what it took; null = none. */
    readonly efficiency: number | null;
  }[];
}
