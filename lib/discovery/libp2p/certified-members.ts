import type { Logger } from '../../observe/log.ts';
import { ACTS } from '../../security/acts.ts';
import type { Credentials } from '../../security/credentials.ts';
import { peerIdOf } from '../../security/identity.ts';
import { setterOf } from '../../security/signed-settings.ts';
import { speakerOf, stateAs } from '../../security/statement.ts';
import type { MemberProof } from '../../wire/member-codec.ts';
import type { MemberIdentities } from './members.ts';

const ABOUT = 'dht member';

/**
 * Members of the DHT are who their certificates say: each says with the key of its certificate which libp2p peer id it
 * has, and libp2p's own handshake proves that id. Whoever knows the key of the private network and no more is asked
 * nothing and told nothing, is named to nobody, and owns no blob.
 */
export function createCertifiedMembers(deps: {
  readonly credentials: Credentials;
  readonly log: Logger;
  /** Told of each message of somebody who is not believed. */
  readonly onStranger: (reason: string) => void;
}): MemberIdentities {
  const { credentials, log, onStranger } = deps;
  const refuse = (member: string, reason: string): false => {
    onStranger(reason);
    log.warn({ member, reason }, 'a member of the DHT without the identity of a peer');
    return false;
  };
  /** The same in every message, until the certificate is another one. */
  let said: { readonly keys: object; readonly member: string; readonly proof: MemberProof } | undefined;
  return {
    prove(member) {
      if (said?.keys !== credentials.keys || said.member !== member) {
        said = { keys: credentials.keys, member, proof: stateAs(credentials, ABOUT, member) };
      }
      return said.proof;
    },
    believes(member, peer, proof) {
      if (proof === undefined) return refuse(member, 'no-certificate');
      const checked = speakerOf(credentials, proof, { about: ABOUT, what: member, roles: ACTS.share });
      if (checked.kind === 'refused') return refuse(member, checked.reason);
      const { identity } = checked;
      const isSelf = peerIdOf(identity) === peer.id && identity.role === peer.role;
      return isSelf || refuse(member, identity.role === peer.role ? 'other-name' : 'wrong-role');
    },
    obeys(settings) {
      const checked = setterOf(credentials, settings);
      return checked.kind === 'member' || refuse('settings', checked.reason);
    },
  };
}
