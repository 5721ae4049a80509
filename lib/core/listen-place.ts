/** Where to listen: on a socket that is open already, if there is one, else on the address. */
export interface ListenPlace {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** File descriptor of a listening socket. */
  readonly fd?: number;
}

/** For `listen` of Node's servers. */
export function listenOptions({
  fd,
  host,
  port,
}: ListenPlace): { readonly fd: number } | { readonly host: string; readonly port: number } {
  return fd === undefined ? { host, port } : { fd };
}

/**
 * The file descriptor of a listening server of Node, to hand it to a child by `stdio`; undefined when it does not
 * listen. Node has no public name for it.
 */
export function descriptorOf(server: object): number | undefined {
  const { _handle: handle } = server as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}

/** Whether only programs of this machine can connect to a port on that address. */
export function isThisMachineOnly(host: string): boolean {
  return host === 'localhost' || /^127\.\d+\.\d+\.\d+$/.test(host) || host === '::1';
}
