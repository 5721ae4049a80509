/** Where a peer is asked for small blobs: POST, the question as JSON, the asker in `Damselfly-Node`. */
export const SMALL_BLOBS_PATH = '/v1/small-blobs';
/** In the answer: what of the question its body holds. Lower case, as Node gives header names. */
export const HELD_HEADER = 'damselfly-held';
