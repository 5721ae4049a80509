import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { extname, join } from 'node:path';

export { PAGE } from './page-html.ts';
export { STYLE } from './page-style.ts';

/** The modules of the page, under page/. */
export const SCRIPTS: readonly string[] = ['app', 'state', 'picture', 'panels', 'elements', 'format'];

/** Compiled in an installed package, sources in a checkout. */
const EXTENSION = extname(import.meta.filename);
const loaded = new Map<string, Promise<string>>();

/** A module as browsers take it. @param name one of {@link SCRIPTS} */
export function loadScript(name: string): Promise<string> {
  const known = loaded.get(name) ?? read(join(import.meta.dirname, 'page', `${name}${EXTENSION}`));
  loaded.set(name, known);
  return known;
}

async function read(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  return EXTENSION === '.ts' ? stripTypeScriptTypes(text) : text;
}
