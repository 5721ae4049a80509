/** A registry that the client is to ask the mirror for. */
export interface WantedRegistry {
  /** As images name it: `harbor.corp`, `docker.io`. */
  readonly name: string;
  /** Where the client finds the registry itself, when that is not https under its name: `http://10.0.0.5:5000`. */
  readonly url?: string;
  /** The mirror, `host:port`, plain HTTP. */
  readonly mirror: string;
  /** The mirror's address is for this registry alone: nothing need name it. */
  readonly ownListener: boolean;
}

/** The files of a machine as a plan sees them. */
export interface ConfigView {
  /** Text of a file; undefined when there is none. @throws SETUP_REFUSED when it is not text */
  readonly read: (path: string) => string | undefined;
  /** Names in a folder, sorted; none when there is no such folder. */
  readonly list: (folder: string) => readonly string[];
}

export interface PlannedFile {
  readonly path: string;
  /** What it should say; what it says already when nothing is missing. */
  readonly text: string;
  /** The client reads it only when it starts, or is told to. */
  readonly needsRestart: boolean;
  /** What it means when the file does not say so yet. */
  readonly lack: string;
}

export interface SetupPlan {
  readonly files: readonly PlannedFile[];
  /** What the user should know besides. */
  readonly notes: readonly string[];
}

/** How one container client is told of the mirror. Pure: looks at files, says what they should be. */
export interface SetupClient {
  readonly name: string;
  /** Clients that read the same files have the same; what was done for one is undone for all of them. */
  readonly configuration: string;
  /** Makes the client read its files again. */
  readonly restart?: readonly string[];
  /** @throws SETUP_REFUSED when something is there that an edit would break */
  plan(view: ConfigView, registries: readonly WantedRegistry[]): SetupPlan;
}

/** Head of files that did not exist before. */
export const WRITTEN_BY = '# Written by "dfget setup"; "dfget setup CLIENT --undo" takes it away.';

/** Where a client asks for images of docker.io. */
const DOCKER_HUB = 'https://registry-1.docker.io';

/** Where the client finds the registry without a mirror. */
export function registryUrl({ name, url }: WantedRegistry): string {
  return url ?? (name === 'docker.io' ? DOCKER_HUB : `https://${name}`);
}
