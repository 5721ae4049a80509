import { Action, type ActionBuffer } from '../../lib/swarm/actions.ts';

/** One decision, readable. */
export interface Decision {
  readonly kind: keyof typeof Action;
  readonly peer: number;
  readonly blob: number;
  readonly piece: number;
  readonly request: number;
}

const NAMES = Object.keys(Action) as (keyof typeof Action)[];

/** Takes the decisions out of the buffer. */
export function actionsOf(core: { readonly actions: ActionBuffer }): Decision[] {
  const { actions } = core;
  const taken: Decision[] = [];
  for (let i = 0; i < actions.length; i++) {
    taken.push({
      kind: NAMES[actions.kind[i]!]!,
      peer: actions.peer[i]!,
      blob: actions.blob[i]!,
      piece: actions.piece[i]!,
      request: actions.request[i]!,
    });
  }
  actions.clear();
  return taken;
}
