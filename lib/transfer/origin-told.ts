import type { BlobOrigin } from '../core/node.ts';
import type { PeerMessage } from '../wire/peer-messages.ts';
import type { Neighbour } from './peers/neighbour.ts';

/** Tells the neighbour where the blob can be read and, ahead of that, of which trace the reading is a part. */
export function tellOrigin(neighbour: Neighbour, handle: number, told: BlobOrigin): void {
  const { traceparent, ...origin } = told;
  if (traceparent !== undefined) neighbour.send({ type: 'traced', handle, traceparent });
  neighbour.send({ type: 'origin', handle, ...origin });
}

/** What the neighbour has told so. */
export function originTold(
  neighbour: Neighbour,
  { authorization, handle, repository, upstream }: Extract<PeerMessage, { readonly type: 'origin' }>,
): BlobOrigin {
  const traceparent = neighbour.traceOf(handle);
  return {
    ...{ upstream, repository },
    ...(authorization === undefined ? {} : { authorization }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
