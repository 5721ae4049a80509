/** What the operator says of some addresses, as in Dragonfly's dfdaemon (`proxies` of its configuration). */
export interface ForwardRule {
  /** Matched against scheme, host and path: `https://harbor.corp/v2/team/app/blobs/sha256:…`. */
  readonly pattern: RegExp;
  /** Goes to the registry without the swarm. */
  readonly direct: boolean;
  /** A plain http request is sent on as https. */
  readonly useHttps: boolean;
}

/** The first rule that matches the address decides; where none does, blobs of known registries come from the swarm. */
export function ruleFor(rules: readonly ForwardRule[], address: string): Omit<ForwardRule, 'pattern'> {
  const { direct = false, useHttps = false } = rules.find(({ pattern }) => pattern.test(address)) ?? {};
  return { direct, useHttps };
}

/**
 * `REGEX`, with `direct` or `use-https` or both before it: `direct ^https://harbor\.corp/v2/secret/`.
 * @returns undefined when the expression is none
 */
export function parseRule(text: string): ForwardRule | undefined {
  const words = text.trim().split(/\s+/);
  const expression = words.pop() ?? '';
  const known = words.every((word) => word === 'direct' || word === 'use-https');
  return known && expression !== ''
    ? rule(expression, words.includes('direct'), words.includes('use-https'))
    : undefined;
}

/** The same from the fields that it has in dfdaemon's file. */
export function rule(expression: string, direct: boolean, useHttps: boolean): ForwardRule | undefined {
  try {
    return { pattern: new RegExp(expression), direct, useHttps };
  } catch {
    return undefined;
  }
}
