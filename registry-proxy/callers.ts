import { createHmac, randomBytes } from 'node:crypto';
import { claimsOf, isBasic } from '../lib/origin/authorization.ts';

/** Who wants to read in which repository. */
export interface Asker {
  readonly upstream: string;
  readonly repository: string;
  /** Authorization value; undefined = anonymous. A secret. */
  readonly authorization: string | undefined;
}

/** Names for callers that are safe to keep: Authorization values appear in them only as hashes. */
export interface CallerNames {
  /** One Authorization in one repository. */
  exact(asker: Asker): string;
  /**
   * The holder of the Authorization in one repository, as far as it can be told: several tokens of one account have one
   * name. A token says itself whose it is, so this name grants nothing.
   */
  holder(asker: Asker): string;
  /**
   * Who may be served from memory while the registry is away: anonymous callers, a user with its password and, where the
   * node is one tenant, everybody. A token is nobody: whether it still holds only the registry knows.
   */
  lasting(asker: Asker): string | undefined;
}

/** @param trustOf whose rights decide, by upstream */
export function createCallerNames(trustOf: (upstream: string) => 'caller' | 'node'): CallerNames {
  // Hashes under a key that dies with the process.
  const key = randomBytes(32);
  const hash = (text: string): string => createHmac('sha256', key).update(text).digest('base64');
  const exact = ({ authorization, repository, upstream }: Asker): string =>
    `${upstream} ${repository} ${authorization === undefined ? 'anonymous' : hash(authorization)}`;
  return {
    exact,
    holder(asker) {
      const { authorization, repository, upstream } = asker;
      const holder = authorization === undefined ? undefined : claimsOf(authorization)?.holder;
      return holder === undefined ? exact(asker) : `${upstream} ${repository} holder ${hash(holder)}`;
    },
    lasting(asker) {
      const { authorization, repository, upstream } = asker;
      if (trustOf(upstream) === 'node') return `${upstream} ${repository} node`;
      return authorization === undefined || isBasic(authorization) ? exact(asker) : undefined;
    },
  };
}
