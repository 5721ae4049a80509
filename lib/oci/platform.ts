import { DamselflyError } from '../core/errors.ts';
import type { Descriptor, Platform } from './manifest.ts';

/** What an architecture without a variant means. */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7' };
/** Other names that people and kernels use for an architecture. */
const ARCHITECTURE_ALIASES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  x64: 'amd64',
  armhf: 'arm',
};

/**
 * Reads `os/architecture[/variant]`.
 * @throws CONFIG_INVALID
 */
export function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant = '', ...rest] = text.split('/');
  if (os === '' || architecture === '' || rest.length > 0) {
    throw new DamselflyError(
      'CONFIG_INVALID',
      `not a platform: ${JSON.stringify(text)}; write it as linux/amd64 or linux/arm/v7`,
    );
  }
  const named = ARCHITECTURE_ALIASES[architecture] ?? architecture;
  return { os, architecture: named, ...(variant === '' ? {} : { variant }) };
}

/** `linux/arm/v7` */
export function formatPlatform(platform: Platform): string {
  const variant = platform.variant === undefined ? '' : `/${platform.variant}`;
  return `${platform.os}/${platform.architecture}${variant}`;
}

/** The first entry of an index for a platform (image-spec, image-index.md: "the first matching entry SHOULD be used"). */
export function choosePlatform(entries: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  return entries.find(({ platform }) => platform !== undefined && samePlatform(platform, wanted));
}

function samePlatform(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.architecture === b.architecture && variantOf(a) === variantOf(b);
}

function variantOf(platform: Platform): string {
  // amd64 images are sometimes marked v1, its lowest level, which is what no mark means.
  if (platform.architecture === 'amd64') return platform.variant ?? 'v1';
  return platform.variant ?? DEFAULT_VARIANTS[platform.architecture] ?? '';
}

/** The platform of this machine, as images name it. */
export function machinePlatform(): Platform {
  return { os: process.platform, architecture: ARCHITECTURE_ALIASES[process.arch] ?? process.arch };
}
