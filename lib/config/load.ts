import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { DamselflyError } from '../core/errors.ts';
import { readYaml, type YamlFault } from './yaml.ts';

/** What the help says of one setting; attached to its schema with `.meta()`. */
export interface SettingMeta {
  /** For the help: `<host:port>`; absent for a plain on/off flag. */
  readonly argument?: string;
  readonly help: string;
  readonly repeat?: boolean;
  /** Never shown. */
  readonly secret?: boolean;
}

export type Shape = Record<string, z.ZodType>;

/** Marks a schema as a setting: its help text and how it is written. */
export function setting<T extends z.ZodType>(schema: T, meta: SettingMeta): T {
  return schema.meta({ ...meta });
}

/** Where a process that is told nothing else has its settings. @param process `daemon` */
export const defaultSettingsFile = (process: string): string => `/etc/damselfly/${process}.yaml`;

/** Adds a flag for every setting of the process, and `--config`. */
export function addSettings(command: Command, schema: z.ZodObject<Shape>, defaultFile: string): Command {
  for (const [key, field] of Object.entries(schema.shape)) {
    const meta = metaOf(field);
    const flag = `--${kebab(key)}${meta.argument === undefined ? '' : ` ${meta.argument}`}`;
    const option = new Option(flag, `${meta.help} [env ${envName(key)}]`);
    if (meta.repeat === true) {
      option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
    }
    command.addOption(option);
  }
  return command.option(
    '--config <file>',
    `settings in YAML, same names as the flags (default: ${defaultFile} if it exists)`,
  );
}

export interface ConfigSources {
  /** As commander parsed them: camelCase names, only those given. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly defaultFile: string;
  /** Values that win over all others, by the names of the flags. */
  readonly pushed?: Readonly<Record<string, string>>;
}

/** Where the settings file is, whether or not it is there. */
export function settingsFile({ defaultFile, flags }: Pick<ConfigSources, 'defaultFile' | 'flags'>): string {
  const chosen = flags['config'];
  return typeof chosen === 'string' ? chosen : defaultFile;
}

/** Values as they were written, by key, and where each was found. */
export interface GivenSettings {
  readonly given: Readonly<Record<string, unknown>>;
  /** `/etc/damselfly/daemon.yaml: zone`, `DAMSELFLY_ZONE`, `--zone` */
  readonly origin: Readonly<Record<string, string>>;
}

/**
 * The settings of one process: flag before environment before file before default.
 * @throws CONFIG_INVALID naming the setting, where it came from, what it got and what it may be
 */
export function loadConfig<S extends Shape>(
  schema: z.ZodObject<S>,
  sources: ConfigSources,
): z.output<z.ZodObject<S>> {
  const { given, origin } = givenSettings(schema, sources);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new DamselflyError(
    'CONFIG_INVALID',
    result.error.issues.map((issue) => explain(issue, given, origin)).join('\n'),
  );
}

/** What was said of each setting, where that counts most. @throws CONFIG_INVALID for a file that cannot be used */
export function givenSettings(schema: z.ZodObject<Shape>, sources: ConfigSources): GivenSettings {
  const given: Record<string, unknown> = {};
  const origin: Record<string, string> = {};
  const file = readFile(sources);
  const known = Object.keys(schema.shape);
  for (const [name, value] of Object.entries(file.values)) {
    const key = camel(name);
    if (!known.includes(key)) {
      throw new DamselflyError(
        'CONFIG_INVALID',
        `${file.path}: unknown setting ${JSON.stringify(name)}; it may be ${known.map(kebab).join(', ')}`,
      );
    }
    const repeat = metaOf(schema.shape[key] as z.ZodType).repeat === true;
    given[key] = repeat && !Array.isArray(value) ? [value] : value;
    origin[key] = `${file.path}: ${kebab(key)}`;
  }
  for (const key of known) {
    const meta = metaOf(schema.shape[key] as z.ZodType);
    const fromEnv = sources.env[envName(key)];
    if (fromEnv !== undefined && fromEnv !== '') {
      given[key] = meta.repeat === true ? fromEnv.split(',').map((text) => text.trim()) : fromEnv;
      origin[key] = envName(key);
    }
    if (sources.flags[key] !== undefined) {
      given[key] = sources.flags[key];
      origin[key] = `--${kebab(key)}`;
    }
    const pushed = sources.pushed?.[kebab(key)];
    if (pushed !== undefined) {
      given[key] = pushed;
      origin[key] = `${kebab(key)} of the cluster`;
    }
  }
  return { given, origin };
}

/** @throws CONFIG_INVALID when the setting, by the name of its flag, may not have this value */
export function checkSetting(schema: z.ZodObject<Shape>, name: string, value: string): void {
  const key = camel(name);
  const result = schema.shape[key]?.safeParse(value);
  const issue = result?.error?.issues[0];
  if (result?.success === true) return;
  const why =
    issue === undefined
      ? `${name}: no such setting`
      : explain({ ...issue, path: [key, ...issue.path] }, { [key]: value }, { [key]: name });
  throw new DamselflyError('CONFIG_INVALID', why);
}

function explain(
  issue: z.core.$ZodIssue,
  given: GivenSettings['given'],
  origin: GivenSettings['origin'],
): string {
  const key = String(issue.path[0] ?? '');
  const value = issue.path
    .slice(1)
    .reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown>)?.[step], given[key]);
  const shown = value === undefined ? 'nothing' : shownValue(value);
  const expected =
    issue.code === 'invalid_value' ? `expected one of ${issue.values.join(', ')}` : issue.message;
  return `${origin[key] ?? `--${kebab(key)}`}: got ${shown}; ${expected}`;
}

/** A wrong value is echoed so that it can be found, but a password inside a URL is not. */
function shownValue(value: unknown): string {
  const text = typeof value === 'object' ? 'an object' : JSON.stringify(value);
  return withoutUser(text).slice(0, 200);
}

/** Up to the last @: a password may have any of the characters that should end it. */
export const withoutUser = (text: string): string => text.replace(/\/\/.*@/g, '//[secret]@');

function readFile(sources: ConfigSources): { path: string; values: Record<string, unknown> } {
  const chosen = sources.flags['config'];
  const path = settingsFile(sources);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (chosen === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { path, values: {} };
    }
    throw new DamselflyError(
      'CONFIG_INVALID',
      `cannot read the config file ${path}: ${(error as Error).message}`,
    );
  }
  const read = readYaml(text);
  if (read.kind === 'fault') {
    throw new DamselflyError('CONFIG_INVALID', `${path} is not YAML: ${whereInYaml(read.fault)}`);
  }
  const values = read.value ?? {};
  if (typeof values !== 'object' || Array.isArray(values)) {
    throw new DamselflyError('CONFIG_INVALID', `${path}: expected settings as "name: value" lines`);
  }
  return { path, values: values as Record<string, unknown> };
}

/** What kind of fault, and where. The words of the file may hold a secret. */
function whereInYaml({ code, column, line }: YamlFault): string {
  return `${code}${line === undefined ? '' : ` at line ${line}, column ${column ?? 1}`}`;
}

/** What the help says of a setting. */
export function metaOf(field: z.ZodType): SettingMeta {
  const meta = field.meta() as SettingMeta | undefined;
  return meta ?? { help: '' };
}

/** `peerListen` -> `peer-listen` */
export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (name: string): string =>
  name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
/** `peerListen` -> `DAMSELFLY_PEER_LISTEN` */
export const envName = (key: string): string => `DAMSELFLY_${kebab(key).toUpperCase().replaceAll('-', '_')}`;
