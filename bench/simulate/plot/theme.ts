/** Sizes in pixels; colours that differ for colour-blind readers too, and dashes for everyone. */
export const WIDTH = 960;
export const MARGIN = 28;
export const FONT_SIZE = 12.5;
export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

export const PAPER = '#fdfdfc';
export const INK = '#1f2328';
export const MUTED = '#59636e';
export const RULE = '#d8dde3';
export const LIMIT = '#b3261e';

/** Run -> its line; the first run is the one that the picture is about. */
export const COLOURS: readonly { readonly stroke: string; readonly dashes?: string }[] = [
  { stroke: '#0b5fc1' },
  { stroke: '#d55e00', dashes: '7 3' },
  { stroke: '#009e73', dashes: '2 3' },
  { stroke: '#a14f8d', dashes: '9 3 2 3' },
  { stroke: '#9c7a00', dashes: '5 2' },
  { stroke: '#56789a', dashes: '3 2 1 2' },
  { stroke: '#6b6b6b', dashes: '12 4' },
];
