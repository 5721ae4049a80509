const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 536870912 -> `512.0 MiB` */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** `sha256:0a1b2c3d4e5f…` -> `sha256:0a1b2c3d` */
export function shortDigest(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 9);
}
