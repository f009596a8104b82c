/** The pages of the package are read where it is installed: what they link to is there. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { installPacked } from './installed.js';

/** README and docs without their pictures; a new one should not make every installation heavier than the code. */
const packedPicturesBytesMax = 150_000;

let folder = '';
let installed = '';
before(() => {
  folder = installPacked();
  installed = join(folder, 'node_modules/reuseaddr');
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

test('the package is installed → every link and picture of its pages is in it', () => {
  const pages = filesOf('').filter((file) => file.endsWith('.md'));
  for (const page of ['README.md', 'docs/README.md', 'docs/start.md', 'docs/run.md']) assert.ok(pages.includes(page), page);
  const links = pages.flatMap((page) => linksOf(page).map((target) => ({ page, target })));
  assert.ok(links.length > 50, 'links are found');
  assert.deepEqual(
    links.filter(({ target }) => target.startsWith('..') || !fs.existsSync(join(installed, target))),
    [],
  );
});

test('the package is installed → every picture in it is shown by a page, and all of them are small', () => {
  const shown = new Set(filesOf('').flatMap((file) => (file.endsWith('.md') ? linksOf(file) : [])));
  const pictures = filesOf('docs').filter((file) => /\.(png|svg)$/.test(file));
  assert.deepEqual(
    pictures.filter((file) => !shown.has(file)),
    [],
  );
  const bytes = pictures.reduce((sum, file) => sum + fs.statSync(join(installed, file)).size, 0);
  assert.ok(bytes <= packedPicturesBytesMax, `${bytes} bytes`);
});

function filesOf(directory: string): string[] {
  return fs
    .readdirSync(join(installed, directory), { recursive: true, encoding: 'utf8' })
    .map((file) => join(directory, file))
    .filter((file) => fs.statSync(join(installed, file)).isFile());
}

/** Where the relative links of a page lead, from the package's own folder. */
function linksOf(page: string): string[] {
  const text = fs.readFileSync(join(installed, page), 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g)].map((match) => match[1] ?? match[2] ?? '');
  return links
    .filter((link) => !/^(https?:|mailto:|#)/.test(link))
    .map((link) => normalize(join(dirname(page), link.replace(/#.*$/, ''))));
}
