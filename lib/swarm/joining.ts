/**
 * A node with fewer linked neighbours of its own zone in a swarm asks the tracker for more. The tracker gives a newcomer
 * few links: those who come early get many more from later ones, and late ones would be left with few. Those of other
 * zones do not count: bytes come from the own one, and early nodes have their links taken up by comers from elsewhere.
 */
export const ENOUGH_NEIGHBOURS = 10;
/** How long after it first asked, milliseconds: when a crowd comes together, most of it has come by then. */
export const ASK_AGAIN_MS = 100;
/** A lost link matters only to a node that has fewer left than this. */
export const TOO_FEW_NEIGHBOURS = 6;
/** A node that stops taking from a neighbour has fewer to take from for as long as it pulls: it asks below this already. */
export const ENOUGH_TRUSTED_NEIGHBOURS = 12;
/**
 * Of a crowd's newcomers a tracker answers one in so many as soon as it has read its message, with all its neighbours.
 * They dial the others, which so have neighbours before their own turn comes: answering everybody first would make the
 * line twice as long.
 */
export const ANSWERED_AT_ONCE = 4;
