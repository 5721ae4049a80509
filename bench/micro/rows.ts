import type { Row } from './row.ts';
import { duplexCore } from './rows/duplex-core.ts';
import { neighbour } from './rows/neighbour.ts';
import { cpuVsNaive, pieceCpuVsRaw, pieceCpuVsRawTls } from './rows/piece-cpu.ts';
import { serveVsNginx } from './rows/serve-vs-nginx.ts';

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  serveVsNginx,
  pieceCpuVsRaw,
  pieceCpuVsRawTls,
  cpuVsNaive,
  duplexCore,
  neighbour,
];
