import type { OnProgress } from './outcome.ts';

/** One line on a terminal that is written over again and again; nothing elsewhere, and nothing when `silent`. */
export function progressLine(name: string, silent: boolean): { readonly show: OnProgress; end(): void } {
  const shown = process.stderr.isTTY && !silent;
  return {
    show(simulatedSeconds, pieces, share) {
      if (!shown) return;
      const percent = (share * 100).toFixed(0).padStart(3);
      process.stderr.write(
        `\r${name}: ${percent} %, ${simulatedSeconds.toFixed(1)} simulated seconds, ${pieces.toLocaleString('en')} pieces`,
      );
    },
    end() {
      if (shown) process.stderr.write('\r\u001b[K');
    },
  };
}
