import type { SettingsRule } from '../lib/core/cluster-settings.ts';
import type { KnownTracker } from '../lib/transfer/preheat/preheat-questions.ts';

/** The longest path that a Unix socket can have, bytes (Linux, unix(7), without the ending zero). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Header that carries the Authorization for the registry over the daemon's socket. */
export const ORIGIN_AUTHORIZATION = 'damselfly-origin-authorization';

/** What a registry says to the daemon's `GET /v2/`, or why it says nothing. */
export type RegistryWord =
  | { readonly status: number; readonly date: string | null }
  | {
      readonly failed: string;
      /** Its certificate was not accepted. */
      readonly certificate: boolean;
    };

/** One entry of the answer of `GET /v1/registries`. */
export type RegistryAnswer = RegistryWord & {
  readonly name: string;
  /** Where its `/v2/` is, or its folder or bucket; absent where nothing is behind the name, and from an older daemon. */
  readonly url?: string | undefined;
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

/** What `POST /v1/settings` takes. Settings are called as their flags are, without the dashes. */
export interface SettingsChange {
  /** Only nodes of this zone. */
  readonly zone?: string | undefined;
  /** Only nodes whose id begins like this. */
  readonly node?: string | undefined;
  readonly set?: Readonly<Record<string, string>> | undefined;
  /** Nodes go back to their own values of these. */
  readonly unset?: readonly string[] | undefined;
}

/** Answer of `GET` and `POST /v1/settings`. */
export interface SettingsAnswer {
  /** Settings that can be changed live, as this node has them now; rates and sizes in bytes, times in milliseconds. */
  readonly inForce: Readonly<Record<string, string | number>>;
  /** What is set in the cluster; of rules that fit a node, a later one wins. */
  readonly rules: readonly SettingsRule[];
  /** Why this node does not have what its file or the cluster says, if so. */
  readonly refused: readonly string[];
  /** False: no tracker has confirmed the change yet. */
  readonly confirmed: boolean;
}

/** Answer of `POST /v1/upgrade`, which takes `{program}`: the command line, without the daemon's own arguments, to start. */
export interface UpgradeAnswer {
  /** Process id of the daemon that serves now. */
  readonly pid: number;
}

/** What `POST /v1/files` takes: a file at a URL, and what its caller shows the source. */
export interface FileToFind {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Names of query parameters that do not tell files apart. */
  readonly filtered?: readonly string[] | undefined;
  /** Tells it from the same file for another purpose. */
  readonly identifier?: string | undefined;
  /** Of the whole file, where it is known. */
  readonly digest?: string | undefined;
}

/**
 * Answer of `POST /v1/files`, once the source has said yes to the caller: what `/v1/blobs/` is to be asked for, or why the
 * swarm cannot have the file.
 */
export type FoundFile =
  | {
      readonly shared: true;
      /** A digest, or the file's key. */
      readonly digest: string;
      /** `url:…`, which changes when the source says that the file did; absent when it says too little. */
      readonly key?: string | undefined;
      readonly size: number;
      readonly upstream: string;
      readonly repository: string;
      /** For {@link ORIGIN_AUTHORIZATION}. A secret. */
      readonly authorization?: string | undefined;
    }
  | { readonly shared: false; readonly why: string };

/** Answer of `GET /v1/cache`. */
export interface CacheListing {
  readonly blobs: readonly CachedBlob[];
  readonly images: readonly ImportedImage[];
}

export interface CachedBlob {
  readonly digest: string;
  /** Bytes of the whole blob, and of what is held of it. */
  readonly size: number;
  readonly held: number;
  readonly complete: boolean;
  readonly pinned: boolean;
  /** In another program's store, which is only read. */
  readonly borrowed: boolean;
  /** Milliseconds since the epoch. */
  readonly usedAtMs: number;
}

/** An image that came by `dfget cache import`. */
export interface ImportedImage {
  /** Full reference; the key. */
  readonly image: string;
  readonly upstream: string;
  readonly repository: string;
  readonly tag?: string | undefined;
  /** Of the manifest or index that the name stands for. */
  readonly digest: string;
  /** It and those below it that are here. */
  readonly manifests: readonly {
    readonly digest: string;
    readonly mediaType: string;
    readonly size: number;
  }[];
  readonly blobs: readonly { readonly digest: string; readonly size: number }[];
}

/** Body of `POST /v1/cache/images`: the blobs must be here. */
export interface ImageToKeep {
  readonly image: string;
  readonly digest: string;
  /** Of the manifest, where it does not say so itself. */
  readonly mediaType: string;
}

/**
 * Answer of `POST /v1/cache/remove`, for each digest that was asked for; `imported`: an imported image needs it,
 * `shared`: BitTorrent clients do.
 */
export interface RemovedBlob {
  readonly digest: string;
  readonly outcome: 'removed' | 'unknown' | 'in-use' | 'borrowed' | 'imported' | 'shared';
  /** Bytes that were held. */
  readonly bytes: number;
}

/** Answer of `POST /v1/cache/gc`. */
export interface Collected {
  readonly removed: readonly string[];
  readonly freedBytes: number;
}

/** Blob bytes that a daemon has moved since it was started. */
export interface Traffic {
  /** By where they came from: `origin`, `supernode`, `peer`, `archive`. */
  readonly received: Readonly<Record<string, number>>;
  /** By whom they went to: `peer`, `client`. */
  readonly sent: Readonly<Record<string, number>>;
}

/** Answer of `GET /v1/status`. */
export interface DaemonStatus {
  readonly id: string;
  readonly zone: string;
  /** The cluster that it is a member of; null while connections are plain and nobody proves anything. */
  readonly cluster: string | null;
  readonly upstreams: readonly string[];
  /** Those of them that are at `http://NAME`; absent from a daemon before an upgrade. */
  readonly plainUpstreams?: readonly string[];
  /** With the registry that a listener is for, if it is for one. */
  readonly proxy: readonly { readonly host: string; readonly port: number; readonly upstream?: string }[];
  readonly peer: string;
  readonly admin: string;
  readonly tracker: {
    readonly reachable: boolean;
    /** As they are configured. */
    readonly urls: readonly string[];
    /** As questions about preheat jobs name them, and whether each is connected; absent from a daemon before an upgrade. */
    readonly each?: readonly KnownTracker[];
  };
  /** How it is to find peers, and who names them now. */
  readonly discovery: {
    readonly mode: 'auto' | 'tracker' | 'dht';
    readonly by: 'tracker' | 'dht' | 'remembered' | 'nobody';
  };
  /** Upstreams whose pulls go straight to the registry, or `all`. */
  readonly paused: readonly string[];
  /** Those of them that are paused on this node whatever the cluster says. */
  readonly pausedHere: readonly string[];
  /** Where its store is; of several data directories, the first that works. */
  readonly dataDir: string;
  readonly store: { readonly blobs: number; readonly complete: number; readonly bytes: number };
  /** Absent from a daemon before an upgrade. */
  readonly traffic?: Traffic;
  readonly neighbours: readonly {
    readonly id: string;
    readonly role: string;
    readonly host: string;
    readonly port: number;
    readonly zone: string;
    /** It could not dial this node when it last tried. */
    readonly cannotDialUs?: true;
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
