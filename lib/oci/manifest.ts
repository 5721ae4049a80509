import { type Digest, isDigest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';

/** The largest manifest that clients accept, and so the largest we read, in bytes (distribution-spec: at least 4 MB). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** What a manifest says of one blob or manifest (image-spec, descriptor.md). */
export interface Descriptor {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Empty when the manifest does not say. */
  readonly mediaType: string;
  readonly platform?: Platform;
  /** The blob may live elsewhere, and need not be in the registry. */
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export type Manifest =
  | {
      readonly kind: 'image';
      readonly mediaType: string;
      readonly config?: Descriptor;
      readonly layers: readonly Descriptor[];
    }
  | { readonly kind: 'index'; readonly mediaType: string; readonly manifests: readonly Descriptor[] }
  /** Anything else: schema 1, artifacts of other forms, not JSON. */
  | { readonly kind: 'other' };

/**
 * Reads a manifest or an index, of OCI or Docker, as far as it can be understood: descriptors without a digest we can
 * verify or without a sane size are left out. Never throws for what a registry may hold.
 * @throws UPSTREAM_BROKEN when it is larger than {@link MAX_MANIFEST_BYTES}
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the manifest is larger than 4 MiB', { bytes: bytes.length });
  }
  const json = parseObject(bytes);
  if (json === undefined) return { kind: 'other' };
  // Docker schema 2 and older OCI tools differ in whether they write mediaType: the shape decides.
  const mediaType = text(json['mediaType']);
  if (Array.isArray(json['manifests'])) {
    return { kind: 'index', mediaType, manifests: descriptors(json['manifests']) };
  }
  if (!Array.isArray(json['layers'])) return { kind: 'other' };
  const config = descriptor(json['config']);
  return {
    kind: 'image',
    mediaType,
    layers: descriptors(json['layers']),
    ...(config === undefined ? {} : { config }),
  };
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    return object(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return undefined;
  }
}

function descriptors(values: readonly unknown[]): Descriptor[] {
  return values.map(descriptor).filter((found) => found !== undefined);
}

function descriptor(value: unknown): Descriptor | undefined {
  const json = object(value);
  const digest = text(json?.['digest']);
  const size = json?.['size'];
  if (json === undefined || !isDigest(digest) || !Number.isSafeInteger(size) || (size as number) < 0) {
    return undefined;
  }
  const platform = platformOf(json['platform']);
  const annotations = textsOf(json['annotations']);
  const urls = Array.isArray(json['urls']) ? json['urls'].filter((url) => typeof url === 'string') : [];
  return {
    digest,
    size: size as number,
    mediaType: text(json['mediaType']),
    ...(platform === undefined ? {} : { platform }),
    ...(urls.length === 0 ? {} : { urls }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** The texts of an object; undefined when there are none. */
function textsOf(value: unknown): Record<string, string> | undefined {
  const entries = Object.entries(object(value) ?? {}).filter(([, each]) => typeof each === 'string');
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Record<string, string>);
}

function platformOf(value: unknown): Platform | undefined {
  const json = object(value);
  const os = text(json?.['os']);
  const architecture = text(json?.['architecture']);
  if (os === '' || architecture === '') return undefined;
  const variant = text(json?.['variant']);
  return { os, architecture, ...(variant === '' ? {} : { variant }) };
}

function object(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
