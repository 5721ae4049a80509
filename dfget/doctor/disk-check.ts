import { defaultDataDir } from '../../lib/config/common.ts';
import { formatBytes } from '../../lib/config/units.ts';
import { containerdBlobs } from '../../lib/store/borrowed-blobs.ts';
import { blobsFolder } from '../../lib/store/path.ts';
import type { Check, Patient } from './check.ts';

const GIB = 1024 ** 3;
/** Shares of the file system that should stay free. */
const WARNING_SHARE = 0.1;
const PROBLEM_SHARE = 0.03;
/** On small disks the share is little: a large layer is a gigabyte. */
const PROBLEM_BYTES = GIB;
/** Less in two places is not worth a word. */
const DOUBLE_BYTES = GIB;
const CONTAINERD_ROOT = '/var/lib/containerd';
const CONTAINERD_BLOBS = containerdBlobs(CONTAINERD_ROOT);

/** Whether the store has room. */
export const checkDisk: Check = ({ space, status }) => {
  const folder = status?.dataDir ?? defaultDataDir('node');
  const found = space(folder);
  if (found === undefined) return [];
  const { freeBytes, totalBytes } = found;
  const says = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free where ${folder} is`;
  const full = freeBytes < PROBLEM_BYTES || freeBytes < totalBytes * PROBLEM_SHARE;
  if (!full && freeBytes >= totalBytes * WARNING_SHARE) return [{ check: 'disk', state: 'ok', says }];
  const room = (status?.store.bytes ?? 0) + freeBytes - totalBytes * WARNING_SHARE;
  return [
    {
      check: 'disk',
      state: full ? 'problem' : 'warning',
      says: `${says}: when it is full, layers pass through without being kept or shared`,
      cure: `dfget daemon --store-max ${Math.max(1, Math.floor(room / GIB))}GiB`,
    },
  ];
};

/** Blobs that containerd keeps too. */
export const checkDoubleStorage: Check = (patient) => {
  const { status } = patient;
  if (status === undefined) return [];
  const theirs = new Set(patient.list(CONTAINERD_BLOBS));
  if (theirs.size === 0) return [];
  const bytes = storedBlobs(patient, status.dataDir)
    .filter((hex) => theirs.has(hex))
    .reduce((sum, hex) => sum + patient.sizeOf(`${CONTAINERD_BLOBS}/${hex}`), 0);
  const says = `${formatBytes(bytes)} are here and in containerd's content store`;
  if (bytes < DOUBLE_BYTES) return [{ check: 'double storage', state: 'ok', says }];
  return [
    {
      check: 'double storage',
      state: 'warning',
      says: `${says}: they can be shared from there, and go from here after a pull`,
      cure: `dfget daemon --containerd-root ${CONTAINERD_ROOT} --cache-after-pull drop`,
    },
  ];
};

/** Hex digits of the complete blobs. */
function storedBlobs({ list }: Patient, dataDir: string): string[] {
  const folder = `${blobsFolder(dataDir)}/sha256`;
  return list(folder).flatMap((prefix) => list(`${folder}/${prefix}`));
}
