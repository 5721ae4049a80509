import { isRegistryHost } from '../oci/names.ts';

/**
 * The entry of an allow-list that a registry's name falls under: its own, else the longest pattern that fits. In a
 * pattern `*` stands for one or more labels of a host name: never for an address, a port or `localhost`, so that nobody
 * can have an arbitrary address of the network asked by naming it.
 */
export function findUpstreamName(names: readonly string[], asked: string): string | undefined {
  if (names.includes(asked)) return asked.includes('*') ? undefined : asked;
  if (!isHostName(asked)) return undefined;
  const fitting = names.filter((name) => name.includes('*') && patternOf(name).test(asked));
  return fitting.sort((a, b) => b.length - a.length)[0];
}

/** Whether the text is a host name of at least two labels, with or without a port, and no address in any spelling. */
function isHostName(text: string): boolean {
  if (!isRegistryHost(text) || text !== text.toLowerCase()) return false;
  const labels = text.replace(/:\d+$/, '').split('.');
  const top = labels.at(-1) ?? '';
  return (
    labels.length > 1 && !labels.includes('') && /[a-z]/.test(top) && !/^0x/.test(top) && top !== 'localhost'
  );
}

function patternOf(name: string): RegExp {
  const escaped = name.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[a-z0-9][a-z0-9.-]*');
  return new RegExp(`^${escaped}$`);
}
