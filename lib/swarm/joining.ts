/**
 * A node with fewer linked neighbours in a swarm asks the tracker for more. The tracker gives a newcomer few links: those
 * who come early get many more from later ones, and late ones would be left with few.
 */
export const ENOUGH_NEIGHBOURS = 10;
/** How long after it first asked, milliseconds: when a crowd comes together, most of it has come by then. */
export const ASK_AGAIN_MS = 100;
/** A lost link matters only to a node that has fewer left than this. */
export const TOO_FEW_NEIGHBOURS = 6;
