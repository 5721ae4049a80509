import { orFail } from '../../lib/command/fail.ts';
import { readTraceparent } from '../../lib/core/traceparent.ts';
import { createLog } from '../../lib/observe/log.ts';
import { openTracer } from '../../lib/observe/otlp/open-tracer.ts';
import type { SpanFacts } from '../../lib/observe/spans.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';

/**
 * Runs a command as a span: part of the trace that the environment names (TRACEPARENT), or the beginning of one where
 * spans are taken (OTEL_EXPORTER_OTLP_ENDPOINT).
 */
export async function inSpan(
  name: string,
  { facts, json = false }: { readonly facts: SpanFacts; readonly json?: boolean | undefined },
  act: (traceparent: string | undefined) => Promise<void>,
): Promise<void> {
  await orFail(json, async () => {
    const deps = { clock: createSystemClock(), log: createLog('dfget', 'warn'), env: process.env };
    const tracer = await openTracer(deps, { service: 'dfget' });
    const parent = readTraceparent(process.env['TRACEPARENT']);
    const span = tracer.begin(name, { kind: 'client', parent, begins: true, facts });
    try {
      await act(span.traceparent);
    } finally {
      // Whatever failed has been told, and is the exit code.
      span.end(
        process.exitCode === undefined || process.exitCode === 0 ? undefined : String(process.exitCode),
      );
      await tracer.close();
    }
  });
}
