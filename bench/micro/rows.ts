import type { Row } from './row.ts';
import { coldVsDirect } from './rows/cold-vs-direct.ts';
import { neighbour } from './rows/neighbour.ts';
import { resumeRefetchMib } from './rows/resume-refetch-mib.ts';
import { rssMib } from './rows/rss-mib.ts';
import { smallBlobMs } from './rows/small-blob-ms.ts';
import { trackerAnnounces } from './rows/tracker-announces.ts';
import { trackerNodes } from './rows/tracker-nodes.ts';
import { warmVsDirect } from './rows/warm-vs-direct.ts';

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  coldVsDirect,
  warmVsDirect,
  smallBlobMs,
  rssMib,
  trackerAnnounces,
  trackerNodes,
  neighbour,
  resumeRefetchMib,
];
