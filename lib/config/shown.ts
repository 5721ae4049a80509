import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { z } from 'zod';
import { type GivenSettings, kebab, metaOf, type Shape, withoutUser } from './load.ts';

/** A setting for people to read: what was written, or what counts because nothing was. */
export interface ShownSetting {
  /** As its flag, without the dashes. */
  readonly name: string;
  /** Without secrets; undefined when nothing was written. */
  readonly value?: unknown;
  /** `/etc/damselfly/daemon.yaml`, `DAMSELFLY_ZONE`, `--zone` or `default` */
  readonly from: string;
  /** In the words of its help. */
  readonly default: string;
}

const SECRET = '[secret]';
/** Entries of objects, and parts of a URL's query, that nobody else may know. */
const SECRET_NAME = /password|secret|token$/i;

/** Every setting of a process, in the order of its help. */
export function shownSettings(
  schema: z.ZodObject<Shape>,
  { given, origin }: GivenSettings,
): readonly ShownSetting[] {
  return Object.entries(schema.shape).map(([key, field]) => {
    const { argument, help, secret } = metaOf(field);
    const name = kebab(key);
    const [, told] = /\(default: (.*)\)$/.exec(help) ?? [];
    const shown = { name, default: told ?? (argument === undefined ? 'false' : 'none') };
    const from = origin[key];
    if (from === undefined) return { ...shown, from: 'default' };
    const value = secret === true ? SECRET : withoutSecrets(given[key]);
    return { ...shown, value, from: from.replace(new RegExp(`: ${name}$`), '') };
  });
}

/** As a settings file: what was written under where it was found, and the rest as comments. */
export function settingsAsYaml(settings: readonly ShownSetting[]): string {
  // Loaded by who wants it alone, as for the settings file.
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const written = settings.filter(({ value }) => value !== undefined);
  const places = [...new Set(written.map(({ from }) => from))];
  const parts = places.map((place) => {
    const values = written.filter(({ from }) => from === place).map(({ name, value }) => [name, value]);
    return `# ${place}\n${yaml.stringify(Object.fromEntries(values), { lineWidth: 0 })}`;
  });
  const rest = settings.filter(({ value }) => value === undefined);
  const defaults = rest.map((each) => `# ${each.name}: ${each.default}\n`).join('');
  return [...parts, ...(rest.length === 0 ? [] : [`# Defaults\n${defaults}`])].join('\n');
}

function withoutSecrets(value: unknown): unknown {
  if (typeof value === 'string') {
    return withoutUser(value).replace(/([?&][^=&]*(?:password|secret|token)=)[^&]*/gi, `$1${SECRET}`);
  }
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, entry]) => [
    name,
    SECRET_NAME.test(name) ? SECRET : withoutSecrets(entry),
  ]);
  return Object.fromEntries(entries);
}
