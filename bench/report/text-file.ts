import type { Disk } from '../../lib/store/disk/disk.ts';

/** The whole file; empty when there is none. */
export async function readText(disk: Disk, path: string): Promise<string> {
  const size = await disk.size(path);
  if (size === undefined) return '';
  const file = await disk.open(path);
  try {
    const bytes = new Uint8Array(size);
    const length = await file.read(bytes, 0);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    await file.close();
  }
}

/** In place of what was there; the folder must be there. */
export async function writeText(disk: Disk, path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  const file = await disk.open(path);
  try {
    await file.truncate(bytes.length);
    await file.write(bytes, 0);
  } finally {
    await file.close();
  }
}
