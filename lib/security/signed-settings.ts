import { X509Certificate } from 'node:crypto';
import type { ClusterSettings } from '../core/cluster-settings.ts';
import { ACTS } from './acts.ts';
import type { Credentials } from './credentials.ts';
import { certificatesIn } from './rotation.ts';
import { isIssued, type SpeakerCheck, speakerOf, stateAs } from './statement.ts';

const ABOUT = 'settings';

/** Settings for the whole cluster in the name of this process, which has to be a tracker to be obeyed. */
export function signSettings(credentials: Credentials, settings: ClusterSettings): ClusterSettings {
  return { ...settings, by: stateAs(credentials, ABOUT, textOf(settings)) };
}

/** Who has set them: a tracker of our cluster, at the time that they say, or why that is not so. */
export function setterOf(credentials: Credentials, settings: ClusterSettings): SpeakerCheck {
  if (settings.by === undefined) return { kind: 'refused', reason: 'no-certificate' };
  // Settings last longer than the certificate of who set them.
  const atMs = Math.min(settings.atMs, credentials.time.nowMs());
  return speakerOf(credentials, settings.by, {
    ...{ about: ABOUT, what: textOf(settings), roles: ACTS.coordinate, atMs },
  });
}

/**
 * The same settings in our own name, when the authority that vouches for who set them is not the one that vouches for
 * us: it counts for a while only. Later by a millisecond, so that they take the place of the others.
 */
export function settingsOfNewAuthority(
  credentials: Credentials,
  settings: ClusterSettings,
): ClusterSettings | undefined {
  const authorityOf = (pem: string | Buffer): string | undefined => {
    const chain = certificatesIn(pem).map((text) => new X509Certificate(text));
    return certificatesIn(credentials.keys.ca).find((authority) => isIssued(chain, authority));
  };
  if (settings.by === undefined) return undefined;
  if (authorityOf(settings.by.certificate) === authorityOf(credentials.keys.cert)) return undefined;
  return signSettings(credentials, { ...settings, atMs: settings.atMs + 1 });
}

function textOf({ atMs, paused, rules = [] }: ClusterSettings): string {
  const each = rules.map(({ node = null, values, zone = null }) => [zone, node, Object.entries(values)]);
  return JSON.stringify([atMs, paused, each]);
}
