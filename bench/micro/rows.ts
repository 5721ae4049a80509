import type { Row } from './row.ts';
import { neighbour } from './rows/neighbour.ts';

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [neighbour];
