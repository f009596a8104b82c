import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { openBrowser, type Browser, type Findings, type Page } from '../explorer/browser.js';
import { explore } from '../simulation/explore.js';
import { playables, scenarioOf } from '../simulation/play.js';

const chromiumPath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const root = new URL('../../../', import.meta.url);
const pageUrl = new URL('build/explorer/index.html', root).href;
/** In CI it is installed, and nothing is left out. */
const skip = existsSync(chromiumPath) || process.env['CI'] ? false : `there is no Chromium at ${chromiumPath}`;

const launchArguments = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const sizes = [
  { width: 360, height: 740 },
  { width: 1024, height: 768 },
  { width: 1920, height: 1080 },
];

let browser: Browser;
let axe: string;

before(async () => {
  const { buildExplorer } = (await import(new URL('scripts/explorer.mjs', root).href)) as {
    buildExplorer: () => Promise<{ bytes: number }>;
  };
  const { bytes } = await buildExplorer();
  assert.ok(bytes < 150_000, `the page weighs ${bytes} bytes`);
  if (skip !== false) return;
  ({ browser, axe } = await openBrowser({ executablePath: chromiumPath, args: launchArguments, timeout: 600_000 }));
});

after(async () => {
  if (skip === false) await browser.close();
});

/**
 * Opens the page, does something with it, and fails on any word in its console and any request but
 * that for itself.
 */
async function withPage(url: string, options: object, act: (page: Page) => Promise<void>): Promise<void> {
  const context = await browser.newContext({ viewport: sizes[1]!, ...options });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(600_000);
    const said: string[] = [];
    page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => said.push(String(error.stack)));
    page.on('request', (request) => {
      const asked = request.url();
      if (!/^(blob|data):/.test(asked) && asked !== url.split('#')[0]) said.push(`request: ${asked}`);
    });
    await page.goto(url);
    await act(page);
    assert.deepEqual(said, []);
  } finally {
    await context.close();
  }
}

/** All that the page says about the state that it shows. */
async function shown(page: Page): Promise<string[]> {
  const parts = ['#lanes', '#log', '#clients', '#guarantees', '#files', '#count', '#about'];
  const states = await page.locator('.row').evaluateAll((rows) => rows.map((row) => row.className));
  return [...(await Promise.all(parts.map((part) => page.locator(part).innerText()))), ...states];
}

async function find(page: Page, outcome: 'breaks' | 'holds'): Promise<string> {
  await page.getByRole('button', { name: 'Find a failure' }).click();
  await page.locator(`#verdict[data-outcome=${outcome}]`).waitFor({ timeout: 1_200_000 });
  return await page.locator('#verdict').innerText();
}

for (const { key, name, caughtBy } of playables) {
  if (caughtBy === undefined) continue;
  test(`${name}: a failure is looked for → the page finds it and plays it until ${caughtBy} turns red`, { skip }, async () => {
    await withPage(pageUrl, {}, async (page) => {
      await page.getByLabel('Scheme').selectOption(key);
      await page.getByLabel('Speed').selectOption('4');
      const verdict = await find(page, 'breaks');
      const [, steps] = /breaks after (\d+) steps/.exec(verdict) ?? [];
      assert.ok(verdict.startsWith(caughtBy), verdict);
      const light = page.locator(`#guarantees [data-guarantee=${caughtBy}]`);
      assert.equal(await light.getAttribute('class'), 'holds', 'it is played from the beginning');
      await page.getByRole('button', { name: 'Play', exact: true }).waitFor({ timeout: 600_000 });
      assert.equal(await page.locator('#count').innerText(), `${steps} of ${steps}`);
      assert.match(await light.innerText(), new RegExp(`broken at step ${steps}\\s+\\S`), 'the sentence stands below the light');
      assert.equal(await page.locator('.row.now .breach').count(), 1);
    });
  });
}

test('reuseaddr: the same search → it visits every state, as many as the simulation, and none breaks', { skip }, async () => {
  const setting = { scheme: 'reuseaddr', processes: 2, outsiders: '', stale: true };
  const { states } = explore(scenarioOf(setting, 2));
  await withPage(pageUrl, {}, async (page) => {
    await page.getByLabel('Scheme').selectOption('reuseaddr');
    const verdict = await find(page, 'holds');
    assert.ok(verdict.startsWith(`No guarantee breaks in any of the ${states.toLocaleString('en')} states.`), verdict);
    await page.getByRole('radio', { name: '3' }).check();
    assert.match(await find(page, 'holds'), /^No guarantee breaks in any of the [\d,]{7,} states\./);
  });
});

test('a long search is stopped → the page answers meanwhile, and can search again', { skip }, async () => {
  await withPage(`${pageUrl}#scheme=reuseaddr&processes=4&with=KS`, {}, async (page) => {
    await page.getByRole('button', { name: 'Find a failure' }).click();
    await page.locator('#verdict', { hasText: /[\d,]{6,} states/ }).waitFor();
    await page.getByRole('button', { name: 'Start', exact: true }).first().click();
    assert.equal(await page.locator('.row').count(), 1);
    await page.getByRole('button', { name: 'Stop', exact: true }).first().click();
    assert.equal(await page.locator('#verdict').innerText(), 'Stopped.');
    await page.getByLabel('Scheme').selectOption('unlink-first');
    assert.match(await find(page, 'breaks'), /^G2/);
  });
});

test('a state is opened by its link → it is the same state, from a file and under a sub-path', { skip }, async (t) => {
  let link = '';
  let expected: string[] = [];
  await withPage(`${pageUrl}#scheme=connect-probe&processes=3&with=K&schedule=A2+B3`, {}, async (page) => {
    const lane = page.getByRole('region', { name: 'Process C' });
    await lane.getByRole('button', { name: 'Start' }).click();
    await lane.getByRole('button', { name: 'Run' }).click();
    await lane.getByRole('button', { name: 'Crash' }).click();
    await page.getByRole('button', { name: 'One step back' }).click();
    await page.waitForURL(/at=\d+$/);
    expected = await shown(page);
    link = new URL(page.url()).hash;
  });
  assert.match(link, /^#scheme=connect-probe&processes=3&with=K&schedule=A2\+B3\+C\d+\+!C&at=\d+$/);

  const html = readFileSync(new URL('build/explorer/index.html', root));
  const server = createServer((request, response) => {
    const found = request.url === '/docs/explorer/';
    response.writeHead(found ? 200 : 404, { 'content-type': 'text/html' }).end(found ? html : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const subPath = `http://127.0.0.1:${(server.address() as AddressInfo).port}/docs/explorer/`;
  for (const url of [pageUrl, subPath]) {
    await withPage(url + link, {}, async (page) => {
      assert.deepEqual(await shown(page), expected);
      assert.match(await find(page, 'breaks'), /^G2/);
    });
  }
});

test('a link is broken, or its schedule cannot be played → the page says so', { skip }, async () => {
  await withPage(`${pageUrl}#scheme=prayer&processes=2`, {}, async (page) => {
    assert.match(await page.locator('#verdict').innerText(), /no scheme "prayer"/);
  });
  await withPage(`${pageUrl}#scheme=unlink-first&processes=2&schedule=A4+K1`, {}, async (page) => {
    assert.match(await page.locator('#verdict').innerText(), /"K1" is no move/);
  });
  await withPage(`${pageUrl}#scheme=unlink-first&processes=2&schedule=A4+!B`, {}, async (page) => {
    assert.match(await page.locator('#verdict').innerText(), /only up to step 4\./);
  });
});

test('keys alone → a process steps and crashes, the steps go back and on, and the focus can be seen', { skip }, async () => {
  await withPage(pageUrl, {}, async (page) => {
    for (const key of ['a', 'a', 'Shift+A', 'b']) await page.keyboard.press(key);
    const busy = 'halfway through bind(2) nobody dies, and the directory is busy';
    assert.equal(await page.locator('#count').innerText(), '2 of 2', busy);
    for (const key of ['a', 'Shift+A', 'b']) await page.keyboard.press(key);
    assert.equal(await page.locator('#count').innerText(), '5 of 5');
    await page.keyboard.press('ArrowLeft');
    assert.equal(await page.locator('#count').innerText(), '4 of 5');
    await page.keyboard.press('Home');
    assert.equal(await page.locator('#count').innerText(), '0 of 5');
    await page.keyboard.press('End');
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.keyboard.press('Space');

    const unseen: string[] = [];
    for (let tabs = 0; tabs < 40; tabs++) {
      await page.keyboard.press('Tab');
      unseen.push(...(await page.evaluate<string[]>(focusThatCannotBeSeen)));
    }
    assert.deepEqual(unseen, []);
    await page.getByRole('button', { name: 'Start over' }).focus();
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('#count').innerText(), '0 of 0');
  });
});

/**
 * Runs in the page: the element that has the focus, if neither it nor what stands for it (a chip)
 * has an outline.
 */
const focusThatCannotBeSeen = `(() => {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return [];
  const drawn = [focused, focused.nextElementSibling].filter(Boolean).map((element) => getComputedStyle(element));
  return drawn.some(({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && outlineWidth !== '0px') ? [] : [focused.outerHTML];
})()`;

test('the user prefers reduced motion → the failure is shown at once, not played', { skip }, async () => {
  await withPage(pageUrl, { reducedMotion: 'reduce' }, async (page) => {
    const [, steps] = /after (\d+) steps/.exec(await find(page, 'breaks')) ?? [];
    assert.equal(await page.locator('#count').innerText(), `${steps} of ${steps}`);
  });
});

for (const viewport of sizes) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`${viewport.width} pixels, ${colorScheme} → nothing overflows, and axe finds nothing`, { skip }, async () => {
      const links = [
        '',
        '#scheme=unlink-first&processes=2&schedule=A4+B1+A1&at=5',
        '#scheme=reuseaddr&processes=4&with=KSTURL&schedule=A14+B5+C2+K1',
      ];
      for (const link of links) {
        await withPage(pageUrl + link, { viewport, colorScheme, reducedMotion: 'reduce' }, async (page) => {
          await page.getByText('Keyboard, and how to read this').click();
          const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
          assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide`);
          await page.evaluate(axe);
          const { violations } = await page.evaluate<Findings>('axe.run()');
          const found = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join(' ')}`);
          assert.deepEqual(found, []);
        });
      }
    });
  }
}
