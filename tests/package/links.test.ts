/** The pages of the package are read where it is installed: what they link to is there. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { installPacked } from './installed.js';

let folder = '';
let installed = '';
before(() => {
  folder = installPacked();
  installed = join(folder, 'node_modules/reuseaddr');
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

test('the package is installed → every link and picture of its pages is in it', () => {
  const pages = filesOf('').filter((file) => file.endsWith('.md'));
  for (const page of ['README.md', 'docs/README.md', 'docs/handover.md', 'docs/run.md']) assert.ok(pages.includes(page), page);
  const links = pages.flatMap((page) => linksOf(page).map((target) => ({ page, target })));
  assert.ok(links.length > 20, 'links are found');
  assert.deepEqual(
    links.filter(({ target }) => target.startsWith('..') || !fs.existsSync(join(installed, target))),
    [],
  );
});

test('the package is installed → no picture is in it, and no page asks for one', () => {
  assert.deepEqual(
    filesOf('').filter((file) => /\.(png|svg|jpe?g|gif)$/.test(file)),
    [],
  );
  for (const file of filesOf('').filter((name) => name.endsWith('.md')))
    assert.doesNotMatch(fs.readFileSync(join(installed, file), 'utf8'), /!\[|<img|<picture/, file);
});

function filesOf(directory: string): string[] {
  return fs
    .readdirSync(join(installed, directory), { recursive: true, encoding: 'utf8' })
    .map((file) => join(directory, file))
    .filter((file) => fs.statSync(join(installed, file)).isFile());
}

/** Returns the targets of a page's relative links, from the package's own folder. */
function linksOf(page: string): string[] {
  const text = fs.readFileSync(join(installed, page), 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g)].map((match) => match[1] ?? match[2] ?? '');
  return links
    .filter((link) => !/^(https?:|mailto:|#)/.test(link))
    .map((link) => normalize(join(dirname(page), link.replace(/#.*$/, ''))));
}
