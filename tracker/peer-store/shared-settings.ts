import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import { decodeControl, settingsOf } from '../../lib/wire/control-codec.ts';

/** @returns undefined when nobody has set any, or what is there is none of ours */
export function readSettings(text: string | null): ClusterSettings | undefined {
  try {
    const message = text === null ? undefined : decodeControl(text);
    return message?.type === 'settings' ? settingsOf(message) : undefined;
  } catch {
    return undefined;
  }
}
