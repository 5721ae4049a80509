/** Of a request what a browser says in it. */
export interface BrowserHeaders {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
  readonly 'sec-fetch-site'?: string | string[] | undefined;
}

export interface PageGuard {
  /** Names, besides addresses and localhost, by which it is reached; `any`: whoever listens beyond this machine cannot know. */
  readonly names: ((name: string) => boolean) | 'any';
  /** Pages of its own may ask it. */
  readonly ownPages: boolean;
}

/**
 * Why a request is not answered, or undefined: web pages reach local ports through the browsers of those who visit them.
 * A page says where it is from (Origin, Sec-Fetch-Site), unless it has let its own name lead here (DNS rebinding): then
 * the Host is a name that is none of ours. An address in the Host is nobody's to let lead elsewhere.
 */
export function pageRefusal(headers: BrowserHeaders, guard: PageGuard): string | undefined {
  const { host, origin } = headers;
  const name = nameOf(host ?? '');
  if (guard.names !== 'any' && name !== '' && !isOwnAddress(name) && !guard.names(name)) {
    return `${JSON.stringify(name.slice(0, 100))} is no name of this port`;
  }
  const site = String(headers['sec-fetch-site'] ?? 'none');
  const isOwnPage = guard.ownPages && origin !== undefined && URL.parse(origin)?.host === host;
  const fromElsewhere =
    origin !== undefined ? !isOwnPage : !(site === 'none' || (guard.ownPages && site === 'same-origin'));
  return fromElsewhere ? 'web pages are not answered' : undefined;
}

/** Without the port, in lower case. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '');
}

function isOwnAddress(name: string): boolean {
  return name === 'localhost' || /^(?:\[[0-9a-f:.]+\]|\d+\.\d+\.\d+\.\d+)$/.test(name);
}
