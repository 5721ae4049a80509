import { readFileSync } from 'node:fs';
import { DamselflyError } from '../core/errors.ts';
import type { UpstreamConfig } from './values.ts';

/** The upstreams with the text of their CA files instead of the paths. @throws CONFIG_INVALID */
export function loadUpstreams(configs: readonly UpstreamConfig[]): UpstreamConfig[] {
  const seen = new Set<string>();
  return configs.map((config) => {
    if (seen.has(config.name)) {
      throw new DamselflyError('CONFIG_INVALID', `--upstream: ${config.name} is given twice`);
    }
    seen.add(config.name);
    if (config.ca === undefined) return config;
    try {
      return { ...config, ca: readFileSync(config.ca, 'utf8') };
    } catch (error) {
      const why = (error as Error).message;
      throw new DamselflyError('CONFIG_INVALID', `upstream ${config.name}: cannot read the ca file: ${why}`);
    }
  });
}
