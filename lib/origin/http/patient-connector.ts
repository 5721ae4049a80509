import { performance } from 'node:perf_hooks';
import { type Connector, type ConnectorOptions, createConnector } from './undici.ts';

/** Node's event loop did other things for more than this share of the time: what was late may have been waiting for us. */
const BUSY_SHARE = 0.5;
/** Codes of a connection that was not there in time. */
const LATE = ['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT'];

/**
 * Opens connections for undici, and once more where it is not the other side that was late: each address of a name but
 * the last is given a quarter of a second by Node, which is soon over in a process with much to do, or when one packet is
 * lost; and all of the time may be over before a busy process has read the answer.
 */
export function patientConnector(options: ConnectorOptions & { readonly timeout: number }): Connector {
  const { timeout } = options;
  const first = createConnector(options);
  const second = createConnector({ ...options, autoSelectFamilyAttemptTimeout: timeout / 2 });
  return (target, callback) => {
    const before = performance.eventLoopUtilization();
    first(target, (...answer) => {
      const [error] = answer;
      const { active, idle, utilization } = performance.eventLoopUtilization(before);
      const early = active + idle < timeout;
      if (error !== null && isLate(error) && (early || utilization > BUSY_SHARE)) second(target, callback);
      else callback(...answer);
    });
  };
}

function isLate(error: Error): boolean {
  return LATE.includes((error as { readonly code?: string }).code ?? '');
}
