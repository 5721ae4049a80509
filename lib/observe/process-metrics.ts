import { collectDefaultMetrics, type Registry } from 'prom-client';

/**
 * How often the event loop is looked at, milliseconds. Each look wakes the process: at the usual 10 ms that was half of
 * what an idle daemon costs its node.
 */
const LOOP_LOOK_MS = 200;

/** The usual `process_*` and `nodejs_*`: memory, CPU, event loop, garbage collection. */
export function addProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_LOOK_MS });
}
