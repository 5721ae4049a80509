import { DamselflyError } from '../../lib/core/errors.ts';
import { isRegistryHost } from '../../lib/oci/names.ts';
import { canonicalRegistry } from '../../lib/oci/reference.ts';
import { findUpstreamName } from '../../lib/origin/upstream-pattern.ts';

/** A registry that images may be preheated from, and another name for it in URLs: `harbor.corp=registry:5000`. */
export interface PreheatRegistry {
  /** As images name it; `*` stands for one or more labels of a host name. */
  readonly name: string;
  readonly alias?: string | undefined;
}

/** @throws CONFIG_INVALID */
export function parsePreheatRegistry(text: string): PreheatRegistry {
  const [name = '', alias, ...more] = text.trim().split('=');
  const isName = isRegistryHost(name.replaceAll('*', 'x'));
  if (!isName || more.length > 0 || (alias !== undefined && !isRegistryHost(alias))) {
    throw new DamselflyError(
      'CONFIG_INVALID',
      'expected NAME or NAME=HOST, such as harbor.corp=registry:5000',
    );
  }
  return { name: canonicalRegistry(name), ...(alias === undefined ? {} : { alias }) };
}

export interface RegistryNames {
  /** Whether images of the registry may be asked for. */
  allows(registry: string): boolean;
  /** The registry that is meant by the host of a URL. */
  of(host: string): string;
}

/** @param registries none: every one that members read from */
export function createRegistryNames(registries: readonly PreheatRegistry[]): RegistryNames {
  const names = registries.map(({ name }) => name);
  return {
    allows: (registry) => names.length === 0 || findUpstreamName(names, registry) !== undefined,
    of: (host) => registries.find(({ alias }) => alias === host)?.name ?? canonicalRegistry(host),
  };
}
