import type { KeyObject } from 'node:crypto';
import type { ClusterAuthority } from './cluster-authority.ts';
import { phaseOf, type Rotation } from './rotation.ts';

/** An authority, and the one that takes its place, if one does. */
export interface AuthorityState {
  readonly current: ClusterAuthority;
  readonly next?: NextAuthority | undefined;
}

export interface NextAuthority {
  readonly authority: ClusterAuthority;
  readonly rotation: Rotation;
  /** The rotation as the current authority has signed it. */
  readonly text: string;
}

/** The authority of a cluster as it is at each moment: another one issues from the time on that the rotation says. */
export class MovingAuthority implements ClusterAuthority {
  readonly #nowMs: () => number;
  #state: AuthorityState;

  /** @param nowMs cluster time, milliseconds since the epoch */
  constructor(state: AuthorityState, nowMs: () => number) {
    this.#state = state;
    this.#nowMs = nowMs;
  }

  /** What was read anew. */
  become(state: AuthorityState): void {
    this.#state = state;
  }

  get cluster(): string {
    return this.#state.current.cluster;
  }

  get certificate(): string {
    return this.#issuing.certificate;
  }

  get fingerprint(): Buffer {
    return this.#issuing.fingerprint;
  }

  get key(): KeyObject {
    return this.#issuing.key;
  }

  get publicKey(): KeyObject {
    return this.#issuing.publicKey;
  }

  get trusted(): readonly ClusterAuthority[] {
    const { current, next } = this.#state;
    if (next === undefined) return [current];
    const phase = phaseOf(next.rotation, this.#nowMs());
    if (phase === 'done') return [next.authority];
    return phase === 'issuing' ? [next.authority, current] : [current, next.authority];
  }

  /** Signs what has to count for longer than the current one may: the new one as soon as there is one. */
  get newest(): ClusterAuthority {
    return this.#state.next?.authority ?? this.#state.current;
  }

  /** While one takes the place of another: what tells members so. */
  get rotation(): string | undefined {
    const { next } = this.#state;
    return next === undefined || phaseOf(next.rotation, this.#nowMs()) === 'done' ? undefined : next.text;
  }

  issue(member: Parameters<ClusterAuthority['issue']>[0]): Promise<string> {
    return this.#issuing.issue(member);
  }

  get #issuing(): ClusterAuthority {
    const { current, next } = this.#state;
    return next === undefined || phaseOf(next.rotation, this.#nowMs()) === 'announced'
      ? current
      : next.authority;
  }
}
