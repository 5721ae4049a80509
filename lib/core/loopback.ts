/** Whether an address, as sockets tell it, is this machine's own loopback. */
export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\./.test(address) || address === '::1';
}
