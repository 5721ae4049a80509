import { DamselflyError } from '../core/errors.ts';

/** Listening sockets that were open when the process began, by name and in order: their file descriptors. */
export type InheritedSockets = ReadonlyMap<string, readonly number[]>;

/** sd_listen_fds(3): the first one is behind standard input, output and error. */
export const FIRST_FD = 3;

/** How the next process is told of the sockets that it inherits. */
export function inheritanceEnv(names: readonly string[]): Record<string, string> {
  // Its process id is not known before it runs.
  return { LISTEN_FDS: String(names.length), LISTEN_FDNAMES: names.join(':'), LISTEN_PID: '' };
}

/**
 * Sockets handed over by systemd (`LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID`), or by the process before this one.
 * @param known the names that mean something here
 * @throws CONFIG_INVALID
 */
export function inheritedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
  known: readonly string[],
): InheritedSockets {
  const { LISTEN_FDS: given = '', LISTEN_FDNAMES: names = '', LISTEN_PID: forPid = '' } = env;
  const found = new Map<string, number[]>();
  // Meant for a process further up, which let its environment through.
  if (given === '' || (forPid !== '' && forPid !== String(pid))) return found;
  const count = Number(given);
  const listed = names.split(':');
  if (!Number.isInteger(count) || count < 0 || listed.length !== count) {
    const message = `LISTEN_FDS: got ${JSON.stringify(given)} with LISTEN_FDNAMES=${JSON.stringify(names)}; expected a name for each socket`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  listed.forEach((name, index) => {
    if (!known.includes(name)) {
      const message = `LISTEN_FDNAMES: got ${JSON.stringify(name)}; expected ${known.join(', ')} (FileDescriptorName= of the socket unit)`;
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    found.set(name, [...(found.get(name) ?? []), FIRST_FD + index]);
  });
  return found;
}
