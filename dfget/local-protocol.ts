/** Header that carries the Authorization for the registry over the daemon's socket. */
export const ORIGIN_AUTHORIZATION = 'damselfly-origin-authorization';
