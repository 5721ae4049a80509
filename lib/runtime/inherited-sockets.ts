import { DamselflyError } from '../core/errors.ts';

/** A listening socket that was open when the process began. */
export interface InheritedSocket {
  readonly fd: number;
  readonly name: string;
  /** The address as the process before this one was told it; undefined from systemd, which does not say. */
  readonly at?: string;
}

/** sd_listen_fds(3): the first one is behind standard input, output and error. */
const FIRST_FD = 3;
/** Ours, besides those of systemd: what `at` is, separated by commas. */
const ADDRESSES = 'DAMSELFLY_LISTEN_AT';

/** How the next process is told of the sockets that it inherits, in this order. */
export function inheritanceEnv(
  sockets: readonly { readonly name: string; readonly at: string }[],
): Record<string, string> {
  return {
    LISTEN_FDS: String(sockets.length),
    LISTEN_FDNAMES: sockets.map(({ name }) => name).join(':'),
    // Its process id is not known before it runs.
    LISTEN_PID: '',
    [ADDRESSES]: sockets.map(({ at }) => at).join(','),
  };
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
): InheritedSocket[] {
  const { LISTEN_FDS: given = '', LISTEN_FDNAMES: text = '', LISTEN_PID: forPid = '' } = env;
  // Not for us: a process further up let its environment through.
  if (given === '' || (forPid !== '' && forPid !== String(pid))) return [];
  const names = text === '' ? [] : text.split(':');
  if (String(names.length) !== given) {
    const message = `LISTEN_FDS: got ${JSON.stringify(given)} with LISTEN_FDNAMES=${JSON.stringify(text)}; expected a name for each socket`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  const addresses = env[ADDRESSES]?.split(',');
  return names.map((name, index) => {
    if (!known.includes(name)) {
      const message = `LISTEN_FDNAMES: got ${JSON.stringify(name)}; expected ${known.join(', ')}: FileDescriptorName= of the socket unit`;
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    const at = addresses?.[index];
    return { fd: FIRST_FD + index, name, ...(at === undefined ? {} : { at }) };
  });
}
