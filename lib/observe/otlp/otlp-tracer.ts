import { hostname } from 'node:os';
import {
  type Context,
  ROOT_CONTEXT,
  type Tracer as SdkTracer,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import {
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { DamselflyError, describeError } from '../../core/errors.ts';
import { VERSION } from '../../core/version.ts';
import type { Logger } from '../log.ts';
import { type Span, type SpanBegin, type Tracer, unrecorded } from '../spans.ts';
import type { TracerDeps, TracerOptions } from './open-tracer.ts';
import { samplerOf } from './sampler.ts';

/** A process that stops does not wait longer for a collector. */
const CLOSE_MS = 2_000;

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  internal: SpanKind.INTERNAL,
} as const satisfies Record<SpanBegin['kind'], SpanKind>;

/** Sends spans to a collector, in batches; what it does not take is dropped. @throws CONFIG_INVALID */
export async function createOtlpTracer(
  { clock, env, log }: TracerDeps,
  { endpoint, service }: TracerOptions,
): Promise<Tracer> {
  const protocol = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL'];
  const detectors = [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector];
  const own = { 'service.name': service, 'service.version': VERSION, 'host.name': hostname() };
  const provider = new TracerProvider({
    sampler: samplerOf(env),
    resource: resourceFromAttributes(own).merge(detectResources({ detectors })),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: toldOnce(await openExporter(protocol, endpoint), log),
        ...batchOptions(env),
      }),
    ],
  });
  const tracer = provider.getTracer('damselfly', VERSION);
  return {
    begin: (name, begin) => beginSpan(tracer, name, begin),
    close: () => atMost(clock, provider.shutdown()),
  };
}

/** @throws CONFIG_INVALID */
async function openExporter(
  protocol: string | undefined,
  endpoint: string | undefined,
): Promise<SpanExporter> {
  const options = endpoint === undefined ? {} : { url: `${endpoint}/v1/traces` };
  if (protocol === undefined || protocol === '' || protocol === 'http/protobuf') {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
    return new OTLPTraceExporter(options);
  }
  if (protocol === 'http/json') {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
    return new OTLPTraceExporter(options);
  }
  const message = `OTEL_EXPORTER_OTLP_PROTOCOL=${protocol}: expected http/protobuf or http/json`;
  throw new DamselflyError('CONFIG_INVALID', message);
}

const BATCH_VARIABLES = {
  scheduledDelayMillis: 'OTEL_BSP_SCHEDULE_DELAY',
  exportTimeoutMillis: 'OTEL_BSP_EXPORT_TIMEOUT',
  maxQueueSize: 'OTEL_BSP_MAX_QUEUE_SIZE',
  maxExportBatchSize: 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE',
} as const;

/** What the variables say and is a number; the specification asks for the default instead of what is not. */
function batchOptions(env: TracerDeps['env']): Partial<Record<keyof typeof BATCH_VARIABLES, number>> {
  const given = Object.entries(BATCH_VARIABLES).map(([name, variable]) => [name, Number(env[variable] || 0)]);
  return Object.fromEntries(given.filter(([, value]) => Number(value) > 0)) as ReturnType<
    typeof batchOptions
  >;
}

/** `ExportResultCode.SUCCESS` */
const EXPORTED = 0;

/** A collector that is away is told once, and once more when it is back: not with every batch. */
function toldOnce(exporter: SpanExporter, log: Logger): SpanExporter {
  let away = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = Number(result.code) !== EXPORTED;
        if (failed && !away) {
          log.warn({ error: describeError(result.error) }, 'spans cannot be sent: they are dropped');
        } else if (away && !failed) log.info({}, 'spans are sent again');
        away = failed;
        done(result);
      });
    },
    forceFlush: async () => await exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}

function beginSpan(tracer: SdkTracer, name: string, begin: SpanBegin): Span {
  const { begins, facts, kind, parent, sinceMs } = begin;
  if (parent === undefined && begins !== true) return unrecorded(undefined);
  const span = tracer.startSpan(
    name,
    {
      kind: KINDS[kind],
      ...(facts === undefined ? {} : { attributes: facts }),
      // A time as small as these is one of `performance.now()` to the library.
      ...(sinceMs === undefined ? {} : { startTime: sinceMs }),
    },
    parent === undefined ? ROOT_CONTEXT : contextOf(parent),
  );
  const { spanId, traceFlags, traceId } = span.spanContext();
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    recorded: span.isRecording(),
    note: (more) => void span.setAttributes(more),
    end(failure, atMs) {
      if (failure !== undefined) {
        span.setAttribute('error.type', failure);
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end(atMs);
    },
  };
}

/** @param traceparent in version 00, checked */
function contextOf(traceparent: string): Context {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-');
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

async function atMost(clock: TracerDeps['clock'], ended: Promise<unknown>): Promise<void> {
  await new Promise<void>((resolve) => {
    const cancel = clock.after(CLOSE_MS, resolve);
    const done = (): void => {
      cancel();
      resolve();
    };
    ended.then(done, done);
  });
}
