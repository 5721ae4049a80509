import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { onPath } from './clients/client.ts';

/** Where tests leave pictures of pages; git ignores it. */
const SCREENSHOTS = join(import.meta.dirname, '..', '..', '.screenshots');
/** Of one step on a busy machine. */
const STEP_MS = 30_000;

/** A page in Debian's Chromium, and what went wrong on it. */
export interface Browser extends AsyncDisposable {
  readonly page: Page;
  /** Errors of scripts, of the console, of requests, and requests to elsewhere. */
  readonly problems: readonly string[];
  /** Keeps a picture of the whole page. */
  picture(name: string): Promise<void>;
}

/** Waits until a tile of the live page shows this number. */
export async function tileIs(page: Page, key: string, value: number): Promise<void> {
  await page.waitForSelector(`#tiles > [data-key=${key}] dd[data-exact="${value}"]`);
}

/** Waits until the live page has refreshed so many times more. @returns the number of the refresh it shows */
export async function refreshes(page: Page, more: number): Promise<number> {
  return await page.evaluate<number>(`new Promise((resolve) => {
    const shown = () => Number(document.body.dataset.refresh);
    const until = shown() + ${more};
    const observer = new MutationObserver(() => {
      if (shown() < until) return;
      observer.disconnect();
      resolve(shown());
    });
    observer.observe(document.body, { attributeFilter: ['data-refresh'] });
  })`);
}

/** Opens an empty page that may ask `origin` alone. @param origin such as `http://127.0.0.1:8401` */
export async function openBrowser(origin: string): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: onPath('chromium') ?? 'chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  const problems: string[] = [];
  const context: BrowserContext = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    ignoreHTTPSErrors: true,
  });
  context.setDefaultTimeout(STEP_MS);
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      problems.push(`console: ${message.text()}`);
    }
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) problems.push(`asks elsewhere: ${url}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`${response.status()} for ${response.url()}`);
  });
  return {
    page,
    problems,
    async picture(name) {
      await mkdir(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
