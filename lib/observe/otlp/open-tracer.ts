import type { Logger } from '../log.ts';
import { NO_TRACER, type Tracer } from '../spans.ts';

export interface TracerDeps {
  readonly clock: { after(ms: number, act: () => void): () => void };
  readonly log: Logger;
  /** For the variables of the OpenTelemetry specification, `OTEL_*`. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface TracerOptions {
  /** Who sends: `service.name`, unless OTEL_SERVICE_NAME says otherwise. */
  readonly service: string;
  /** Of a collector: OTLP over HTTP, such as `http://collector:4318`. @default the variables' */
  readonly endpoint?: string | undefined;
}

/**
 * Where the spans of a process go: to a collector when one is named, by option or variable, else nowhere. The libraries
 * of OpenTelemetry take some 16 MiB: they are loaded only then.
 * @throws CONFIG_INVALID
 */
export async function openTracer(deps: TracerDeps, options: TracerOptions): Promise<Tracer> {
  const { env } = deps;
  const named = [
    options.endpoint,
    env['OTEL_EXPORTER_OTLP_ENDPOINT'],
    env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
  ];
  const off = env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none';
  if (off || !named.some(Boolean)) return NO_TRACER;
  const { createOtlpTracer } = await import('./otlp-tracer.ts');
  return await createOtlpTracer(deps, options);
}
