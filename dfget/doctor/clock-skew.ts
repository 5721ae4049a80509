import { formatDuration } from '../../lib/config/units.ts';
import type { Finding } from './check.ts';

/** Beyond this, tokens may look as if not valid yet, or no longer. */
const WARNING_MS = 10_000;
/** Registries commonly allow a minute. */
const PROBLEM_MS = 60_000;

/** What the Date header of an answer says of this machine's clock; nothing when it is right. */
export function clockSkew(from: string, date: string | null, nowMs: number): Finding[] {
  const theirsMs = date === null ? Number.NaN : Date.parse(date);
  const offMs = Math.abs(nowMs - theirsMs);
  if (!(offMs > WARNING_MS)) return [];
  const direction = nowMs > theirsMs ? 'ahead of' : 'behind';
  const says = `this machine is ${formatDuration(offMs)} ${direction} ${from}: tokens and certificates may be refused`;
  return [
    {
      check: 'clock',
      state: offMs > PROBLEM_MS ? 'problem' : 'warning',
      says,
      cure: 'timedatectl set-ntp true',
    },
  ];
}
