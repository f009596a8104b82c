import { createRequire } from 'node:module';
import { join } from 'node:path';
import { installPackages } from '../runtimes/install.js';

/** The part of playwright-core in use here, whose own types are not among the sources. */
export interface Browser {
  newContext(options: object): Promise<{ newPage(): Promise<Page>; close(): Promise<void> }>;
  close(): Promise<void>;
}

interface Finder {
  locator(selector: string, options?: { readonly hasText: RegExp }): Locator;
  getByRole(role: string, options: { readonly name: string; readonly exact?: boolean }): Locator;
  getByLabel(text: string): Locator;
  getByText(text: string): Locator;
}

export interface Page extends Finder {
  readonly keyboard: { press(key: string): Promise<void> };
  setDefaultTimeout(milliseconds: number): void;
  on(event: 'console', listener: (message: { type(): string; text(): string }) => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  goto(url: string): Promise<unknown>;
  url(): string;
  waitForURL(url: RegExp): Promise<void>;
  evaluate<Result>(script: string): Promise<Result>;
}

interface Locator extends Finder {
  first(): Locator;
  count(): Promise<number>;
  innerText(): Promise<string>;
  getAttribute(name: string): Promise<string | null>;
  click(): Promise<void>;
  check(): Promise<void>;
  focus(): Promise<void>;
  selectOption(value: string): Promise<unknown>;
  waitFor(options?: { readonly timeout: number }): Promise<void>;
  evaluateAll<Result>(act: (elements: { readonly className: string }[]) => Result): Promise<Result>;
}

/** The findings of axe-core. */
export interface Findings {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** Installs both, and starts the browser. Returns it, and the script of axe-core for a page. */
export async function openBrowser(options: object): Promise<{ readonly browser: Browser; readonly axe: string }> {
  const load = createRequire(join(await installPackages('explorer'), 'package.json'));
  const { chromium } = load('playwright-core') as { chromium: { launch(options: object): Promise<Browser> } };
  return { browser: await chromium.launch(options), axe: (load('axe-core') as { source: string }).source };
}
