import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isForbiddenAddress } from '../trust.ts';

/**
 * Resolves names for a connection, without the addresses that nobody is to be sent to: what a name leads to is anybody's
 * word, and can be another address each time it is asked for.
 * @param mayBeOwn whether this machine itself may be meant
 */
export function guardedLookup(mayBeOwn: boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const allowed = addresses.filter(({ address }) => !isForbiddenAddress(address, !mayBeOwn));
      const [first] = allowed;
      if (first === undefined) {
        const refused = new Error(`${hostname} leads to an address that is not connected to`);
        callback(Object.assign(refused, { code: 'EACCES' }), []);
      } else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
