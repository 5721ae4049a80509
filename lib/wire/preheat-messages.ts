import type { Digest } from '../core/digest.ts';
import type { PlanMessage } from './plan-messages.ts';

/**
 * What trackers and members say about preheating, that is bringing blobs to machines before any client asks. A tracker
 * has the job: one member resolves the image for all, then each machine that was chosen fetches the blobs and tells how
 * far it is.
 */

/** Most blobs of one job; with the longest digests well below a control message's 1 MiB. */
export const MAX_PREHEAT_BLOBS = 5000;
/** Most images of one job: tags that a pattern fits. */
export const MAX_PREHEAT_IMAGES = 100;
export const MAX_PREHEAT_PLATFORMS = 16;
/** Most manifests that an order names; blobs of those beyond are asked for one by one. */
export const MAX_PREHEAT_MANIFESTS = 500;
/** Longest Authorization that is passed on; tokens of registries have up to some 8 KiB. */
export const MAX_AUTHORIZATION_CHARS = 16 * 1024;
export const MAX_LABELS = 32;
export const MAX_LABEL_CHARS = 64;
/** Longest reason of a failure. */
export const MAX_REASON_CHARS = 500;
/** Most machines that a {@link JobView} names one by one. */
export const MAX_SHOWN = 20;

export interface PreheatBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Which of the `manifests` beside it lists it. */
  readonly listedBy?: number;
}

/** Why something did not work: a code of docs/ERRORS.md, and a sentence. Never a secret. */
export interface PreheatFailure {
  readonly code: string;
  readonly message: string;
}

export const JOB_STATES = ['waiting', 'running', 'succeeded', 'failed', 'canceled'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** What somebody wants preheated, as text: see tracker/preheat/wish.ts for what each may be. */
export interface PreheatWishText {
  readonly image: string;
  readonly tags?: string | undefined;
  readonly platforms?: readonly string[] | undefined;
  readonly nodes?: string | undefined;
  readonly batch?: string | undefined;
  readonly pause?: string | undefined;
  readonly rate?: string | undefined;
  readonly timeout?: string | undefined;
}

/** A job as it is shown. */
export interface JobView {
  readonly id: number;
  readonly state: JobState;
  /** As it was asked for. */
  readonly image: string;
  readonly tags?: string;
  /** Which machines: as it was asked for. */
  readonly nodes: string;
  readonly images: readonly { readonly image: string; readonly digest: Digest }[];
  /** Bytes of one copy of all blobs, and of all machines together. */
  readonly imageBytes: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly targets: {
    readonly total: number;
    readonly waiting: number;
    readonly running: number;
    readonly done: number;
    readonly failed: number;
  };
  /** Some of those under way: machine id, bytes. */
  readonly running: readonly { readonly node: string; readonly bytes: number }[];
  /** Some of those that failed. */
  readonly failures: readonly { readonly node: string; readonly error: PreheatFailure }[];
  readonly batch: number;
  readonly batches: number;
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly error?: PreheatFailure;
  readonly notes: readonly string[];
}

export type PreheatMessage =
  | PlanMessage
  /** Member to tracker, after each welcome: by what, besides its zone, it can be chosen. */
  | { readonly type: 'labels'; readonly labels: Readonly<Record<string, string>> }
  /** Tracker to one member: what is this image? Answered by `preheat-resolved`, one for each image. */
  | {
      readonly type: 'preheat-resolve';
      readonly task: string;
      readonly upstream: string;
      readonly repository: string;
      /** Tag or digest; absent: all tags that fit `tags`. */
      readonly reference?: string;
      /** `*` any characters, `?` one. */
      readonly tags?: string;
      /** `os/architecture[/variant]`; none: that of the member, or `all`. */
      readonly platforms: readonly string[];
      /** For the registry. A secret. */
      readonly authorization?: string;
    }
  /** Member to tracker. `more`: others of the same task follow. Without an image and `more`: it failed. */
  | {
      readonly type: 'preheat-resolved';
      readonly task: string;
      readonly image?: {
        readonly reference: string;
        readonly digest: Digest;
        readonly blobs: readonly PreheatBlob[];
        /** Those that list the blobs: of an index, one for each platform. */
        readonly manifests?: readonly Digest[];
      };
      readonly more?: true;
      readonly error?: PreheatFailure;
    }
  /** Tracker to members: fetch these. A task that the member has already goes on. Answered by `preheat-progress`. */
  | {
      readonly type: 'preheat';
      readonly task: string;
      readonly upstream: string;
      readonly repository: string;
      readonly blobs: readonly PreheatBlob[];
      /** The right to read one of these is the right to all blobs that it lists. */
      readonly manifests?: readonly Digest[];
      /** The member tells how far it is so often, milliseconds. */
      readonly everyMs: number;
      /** At most so many bytes per second, blob by blob. */
      readonly rate?: number;
      /** For the registry. A secret. */
      readonly authorization?: string;
    }
  /** Tracker to members: no longer wanted. What was fetched stays. */
  | { readonly type: 'preheat-cancel'; readonly task: string }
  /** Member to tracker: `bytes` of the blobs that are complete there. */
  | {
      readonly type: 'preheat-progress';
      readonly task: string;
      readonly state: 'running' | 'done' | 'failed';
      readonly bytes: number;
      readonly error?: PreheatFailure;
    }
  /** Member to tracker, for somebody on its machine. Answered by `preheat-told` with the same `ask`. */
  | { readonly type: 'preheat-ask'; readonly ask: number; readonly question: PreheatQuestion }
  | {
      readonly type: 'preheat-told';
      readonly ask: number;
      readonly jobs: readonly JobView[];
      readonly error?: PreheatFailure;
    };

export type PreheatQuestion =
  | { readonly act: 'create'; readonly wish: PreheatWishText }
  | { readonly act: 'get' | 'cancel'; readonly id: number }
  /** The newest ones. */
  | { readonly act: 'list' };

/** What a tracker says of it to members. */
export type PreheatOrder = Extract<
  PreheatMessage,
  { readonly type: 'preheat-resolve' | 'preheat' | 'preheat-cancel' }
>;
/** What members say of it to trackers. */
export type PreheatReport = Extract<
  PreheatMessage,
  { readonly type: 'preheat-resolved' | 'preheat-progress' }
>;
