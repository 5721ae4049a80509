import { readYaml } from '../lib/config/yaml.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { planText } from '../lib/wire/plan-codec.ts';
import type { PlanText } from '../lib/wire/plan-messages.ts';

export interface PlanFile {
  readonly plan: PlanText;
  /** An error of who takes the plan, with the line that it is about. */
  located(error: unknown): unknown;
}

/**
 * A staged rollout as people write it, in YAML (JSON is YAML too).
 * @param name of the file, for errors
 * @throws CONFIG_INVALID with the line
 */
export function readPlanFile(text: string, name: string): PlanFile {
  const result = readYaml(text);
  if (result.kind === 'fault') {
    const { code, column, line } = result.fault;
    const where = line === undefined ? name : `${name}:${line}:${column}`;
    throw new DamselflyError('CONFIG_INVALID', `${where}: no YAML that is read here (${code})`);
  }
  const { lineOf, value } = result;
  const parsed = planText.safeParse(value);
  if (!parsed.success) {
    const told = parsed.error.issues.map((issue) => {
      const keys = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
      const path = [...issue.path, ...keys];
      return `${name}:${lineOf(path)}: ${written(path)}${path.length > 0 ? ': ' : ''}${keys.length > 0 ? 'there is no such field' : issue.message}`;
    });
    throw new DamselflyError('CONFIG_INVALID', told.slice(0, 10).join('\n'));
  }
  return {
    plan: parsed.data,
    located(error) {
      if (!(error instanceof DamselflyError)) return error;
      const [, path] =
        /^((?:images|platforms|rate|timeout|gate|stages)[\w.[\]]*): /.exec(error.message) ?? [];
      if (path === undefined) return error;
      const steps = path.split(/[.[\]]+/).filter((step) => step !== '');
      const line = lineOf(steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step)));
      return new DamselflyError(error.code, `${name}:${line}: ${error.message}`, error.facts, {
        cause: error,
      });
    },
  };
}

/** `stages[1].nodes` */
function written(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}
