/** Attributes of an element; undefined ones are left out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** Average width of a character over the font size, on the safe side. */
const CHARACTER_WIDTH = 0.56;

/** Text for element contents and attribute values. Characters that XML does not know become U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** @param children markup, already escaped */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const pairs = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) => ` ${key}="${typeof value === 'number' ? coordinate(value) : escapeXml(value ?? '')}"`,
    )
    .join('');
  return children.length === 0 ? `<${name}${pairs}/>` : `<${name}${pairs}>${children.join('')}</${name}>`;
}

/** One line of text. */
export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(content));
}

/** A tenth of a pixel is enough. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Estimated width of a text in pixels: the fonts of the reader are not known. */
export function textWidth(content: string, fontSize: number): number {
  return content.length * fontSize * CHARACTER_WIDTH;
}

/** At most `most` characters. */
export function shorten(content: string, most: number): string {
  return content.length <= most ? content : `${content.slice(0, most - 1).trimEnd()}…`;
}
