import { Gauge, type Registry } from 'prom-client';
import { VERSION } from '../core/version.ts';

/** Says in the metrics of a process which version it is. */
export function addBuildInfo(registry: Registry): void {
  const name = 'damselfly_build_info';
  const help = '1, with the version of the process';
  new Gauge({ name, help, labelNames: ['version'], registers: [registry] }).set({ version: VERSION }, 1);
}
