import type { Row } from './row.ts';
import { capabilityCrowdRow } from './rows/capability-crowd.ts';
import { coldVsDirect } from './rows/cold-vs-direct.ts';
import { duplexCore } from './rows/duplex-core.ts';
import { idleCpu } from './rows/idle-cpu.ts';
import { metadataStart } from './rows/metadata-start.ts';
import { neighbour } from './rows/neighbour.ts';
import { cpuVsNaive, pieceCpuVsRaw, pieceCpuVsRawTls } from './rows/piece-cpu.ts';
import { proofsCpuShare } from './rows/proofs-cpu-share.ts';
import { resumeRefetchMib } from './rows/resume-refetch-mib.ts';
import { rssMib } from './rows/rss-mib.ts';
import { serveVsNginx } from './rows/serve-vs-nginx.ts';
import { smallBlobMs } from './rows/small-blob-ms.ts';
import { trackerAnnounces } from './rows/tracker-announces.ts';
import { trackerNodes, trackerNodesTls } from './rows/tracker-nodes.ts';
import { warmVsDirect } from './rows/warm-vs-direct.ts';

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  serveVsNginx,
  pieceCpuVsRaw,
  pieceCpuVsRawTls,
  proofsCpuShare,
  cpuVsNaive,
  coldVsDirect,
  warmVsDirect,
  smallBlobMs,
  rssMib,
  idleCpu,
  trackerAnnounces,
  trackerNodes,
  trackerNodesTls,
  capabilityCrowdRow,
  duplexCore,
  neighbour,
  resumeRefetchMib,
  metadataStart,
];
