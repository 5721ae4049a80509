import type { Digest } from '../core/digest.ts';
import type { PreheatFailure } from './preheat-messages.ts';

/**
 * Staged rollouts: a plan brings images to one group of machines after the other, in batches, and stops when too many of
 * a batch failed or somebody's health check says no. A tracker has the plan, and makes a preheat job of each image and
 * batch.
 */

export const MAX_PLAN_IMAGES = 20;
export const MAX_PLAN_STAGES = 50;
export const MAX_PLAN_NAME_CHARS = 64;
export const MAX_HEALTH_URL_CHARS = 500;

/** What somebody wants rolled out, as text; see docs/PREHEAT.md. */
export interface PlanText {
  readonly name?: string | undefined;
  readonly images: readonly string[];
  readonly platforms?: readonly string[] | undefined;
  /** Of each machine. */
  readonly rate?: string | undefined;
  /** Of each image in each batch. */
  readonly timeout?: string | undefined;
  readonly gate?: PlanGateText | undefined;
  readonly stages: readonly PlanStageText[];
}

export interface PlanStageText {
  readonly name?: string | undefined;
  readonly nodes: string;
  readonly batch?: string | undefined;
  /** After each of its batches. */
  readonly pause?: string | undefined;
}

export interface PlanGateText {
  /** Machines of a batch that may fail: a number or a share. */
  readonly failed?: string | undefined;
  /** Must answer 200 before each batch. */
  readonly health?: string | undefined;
}

export const PLAN_STATES = ['running', 'stopped', 'succeeded', 'canceled'] as const;
export type PlanState = (typeof PLAN_STATES)[number];

/** What a plan that runs is at: it chooses machines, asks the health URL, brings images, or waits between batches. */
export const PLAN_PHASES = ['choose', 'health', 'fetch', 'pause'] as const;
export type PlanPhase = (typeof PLAN_PHASES)[number];

/** A plan as it is shown. Numbers of stages, batches and images begin with 1. */
export interface PlanView {
  readonly id: number;
  readonly name: string;
  readonly state: PlanState;
  readonly phase: PlanPhase;
  /** A digest as soon as the first batch knows it: all later ones get the same bytes. */
  readonly images: readonly { readonly image: string; readonly digest?: Digest }[];
  readonly stage: number;
  readonly image: number;
  readonly stages: readonly {
    readonly name: string;
    readonly nodes: string;
    /** Machines; 0 until they are chosen, when the stage begins. */
    readonly machines: number;
    readonly done: number;
    readonly failed: number;
    /** The one under way; 0 before the stage begins. */
    readonly batch: number;
    readonly batches: number;
  }[];
  /** The preheat job under way. */
  readonly job?: number;
  /** Some of the machines that failed. */
  readonly failures: readonly { readonly node: string; readonly error: PreheatFailure }[];
  readonly pausedUntilMs?: number;
  /** Why it is stopped. */
  readonly why?: PreheatFailure;
  readonly createdAtMs: number;
  readonly finishedAtMs?: number;
}

export type PlanMessage =
  /** Member to tracker, for somebody on its machine. Answered by `plan-told` with the same `ask`. */
  | { readonly type: 'plan-ask'; readonly ask: number; readonly question: PlanQuestion }
  | {
      readonly type: 'plan-told';
      readonly ask: number;
      readonly plans: readonly PlanView[];
      readonly error?: PreheatFailure;
    };

export type PlanQuestion =
  | { readonly act: 'create'; readonly plan: PlanText }
  | { readonly act: 'get' | 'stop' | 'resume' | 'cancel'; readonly id: number }
  /** The newest ones. */
  | { readonly act: 'list' };
