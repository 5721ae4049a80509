import type { Check, Finding, Patient } from './check.ts';
import { checkClients } from './client-check.ts';
import { checkDaemon, checkMirror, checkReach } from './daemon-check.ts';
import { checkDisk, checkDoubleStorage } from './disk-check.ts';
import { checkRegistries } from './registry-check.ts';
import { checkTrackers } from './tracker-check.ts';

const CHECKS: readonly Check[] = [
  checkDaemon,
  checkMirror,
  checkReach,
  checkRegistries,
  checkTrackers,
  checkClients,
  checkDisk,
  checkDoubleStorage,
];

/** Everything that the checks find, in their order. */
export async function examine(patient: Patient): Promise<Finding[]> {
  const found = await Promise.all(CHECKS.map(async (check) => check(patient)));
  return found.flat();
}
