/** Without a byte for so long, although peers are there, the node reads from the registry itself. */
export const STALL_MS = 2000;
/**
 * The same beside a living supernode: slow is not failed, and it reads the registry for everybody already. With the
 * spread and a tick it stays under the 5 s after which clients think that nobody answers.
 */
export const SEEDED_STALL_MS = 4600;
/** The same when nobody is there who could send one. */
export const ALONE_MS = 500;
