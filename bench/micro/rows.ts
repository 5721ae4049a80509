import type { Row } from './row.ts';
import { neighbour } from './rows/neighbour.ts';
import { trackerAnnounces } from './rows/tracker-announces.ts';
import { trackerNodes } from './rows/tracker-nodes.ts';

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [neighbour, trackerAnnounces, trackerNodes];
