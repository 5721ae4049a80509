import type { Clock } from '../runtime/clock.ts';
import { RateLimit } from '../runtime/rate-limit.ts';

/** What a process may use, as changed while it runs. Rates in bytes per second, Infinity = no limit. */
export interface LimitSettings {
  /** Pieces sent to peers. */
  readonly uploadRate: number;
  /** Blob bytes received from anyone, registries included. */
  readonly downloadRate: number;
  /** Bytes received from registries. */
  readonly registryRate: number;
  /** Bytes that a supernode receives from those of other zones. */
  readonly borderRate: number;
  /** Connections that the peer port holds at once. */
  readonly maxConnections: number;
}

const DEFAULTS: LimitSettings = {
  uploadRate: Number.POSITIVE_INFINITY,
  downloadRate: Number.POSITIVE_INFINITY,
  registryRate: Number.POSITIVE_INFINITY,
  borderRate: Number.POSITIVE_INFINITY,
  maxConnections: 1024,
};

const MIB = 1024 * 1024;
/** Beside work that pays: one transfer each way at a time. A busy core sends this much in about 1 % of its time. */
export const BACKGROUND = { uploadRate: 16 * MIB, maxConnections: 128 } as const;
/** A slot is worth having for a peer when it gives a whole large piece about every second. */
const BYTES_PER_SECOND_PER_SLOT = 4 * MIB;

/** What is left out has no limit, or with `background` the low one. */
export function limitsInForce({
  background,
  ...given
}: Partial<LimitSettings> & { readonly background?: boolean }): LimitSettings {
  return { ...DEFAULTS, ...(background === true ? BACKGROUND : {}), ...given };
}

/** The limits of one process, which all its transfers share. */
export class Limits {
  readonly upload: RateLimit;
  readonly download: RateLimit;
  readonly registry: RateLimit;
  readonly border: RateLimit;
  readonly #background: boolean;
  readonly #listeners: (() => void)[] = [];
  #maxConnections: number;

  /** See {@link limitsInForce}. */
  constructor(clock: Clock, settings: Partial<LimitSettings> & { readonly background?: boolean } = {}) {
    this.#background = settings.background === true;
    const { borderRate, downloadRate, maxConnections, registryRate, uploadRate } = limitsInForce(settings);
    this.upload = new RateLimit(clock, uploadRate);
    this.download = new RateLimit(clock, downloadRate);
    this.registry = new RateLimit(clock, registryRate);
    this.border = new RateLimit(clock, borderRate);
    this.#maxConnections = maxConnections;
  }

  get settings(): LimitSettings {
    return {
      uploadRate: this.upload.bytesPerSecond,
      downloadRate: this.download.bytesPerSecond,
      registryRate: this.registry.bytesPerSecond,
      borderRate: this.border.bytesPerSecond,
      maxConnections: this.#maxConnections,
    };
  }

  /** What is not named stays. */
  change(settings: Partial<LimitSettings>): void {
    const { borderRate, downloadRate, maxConnections, registryRate, uploadRate } = {
      ...this.settings,
      ...settings,
    };
    this.upload.change(uploadRate);
    this.download.change(downloadRate);
    this.registry.change(registryRate);
    this.border.change(borderRate);
    this.#maxConnections = maxConnections;
    for (const listener of this.#listeners) listener();
  }

  /** Calls at once and after every change. */
  follow(listener: () => void): void {
    this.#listeners.push(listener);
    listener();
  }

  /** Most uploads at a time: a peer waits less for a busy slot elsewhere than for a slow one here. */
  get uploadSlots(): number {
    return this.#slots(this.upload.bytesPerSecond);
  }

  /** Most downloads from peers at a time. */
  get downloadSlots(): number {
    return this.#slots(this.download.bytesPerSecond);
  }

  #slots(bytesPerSecond: number): number {
    return this.#background ? 1 : Math.max(1, Math.floor(bytesPerSecond / BYTES_PER_SECOND_PER_SLOT));
  }
}
