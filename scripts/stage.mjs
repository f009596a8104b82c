/**
 * The package as it is published, in a folder of its own: what a user's program and its author need, and nothing else. The manifest has no
 * `imports` of the tests, no scripts and no development dependencies; the pages have no links to what is not there.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { root } from './step.mjs';

/** What is published, by its path in the repository; a folder with all that is in it. */
const published = ['dist/bundle', 'docs', 'man', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE'];

/** Except for this: pages for those who work on the package, and pictures. */
const unpublished = [/^docs\/(benchmarks|testing|explorer)\b/, /^docs\/.*\.(svg|png)$/];

/** Fields of package.json that mean something only in the repository. */
const ofTheRepository = ['imports', 'files', 'scripts', 'devDependencies'];

/** Fills a folder with the package, which must have been built. */
export function stage(folder) {
  const files = published.flatMap(filesUnder).filter((file) => !unpublished.some((pattern) => pattern.test(file)));
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    if (file.endsWith('.md')) writeFileSync(join(folder, file), readable(file, new Set(files), manifest));
    else copyFileSync(join(root, file), join(folder, file));
  }
  for (const field of ofTheRepository) delete manifest[field];
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function filesUnder(path) {
  if (!existsSync(join(root, path))) throw new Error(`There is no ${path}. Run \`npm run build\`.`);
  if (statSync(join(root, path)).isFile()) return [path];
  return readdirSync(join(root, path))
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

/** A page whose links to other files of the repository lead there, where it is known, or are plain text. It has no pictures. */
function readable(page, files, { repository, version }) {
  const link = (whole, text, target) => {
    const [path, fragment] = target.split('#');
    const file = posix.normalize(posix.join(posix.dirname(page), path)).replace(/\/$/, '');
    if (/^\w+:/.test(target) || path === '' || files.has(file)) return whole;
    if (repository === undefined) return text;
    const site = repository.url.replace(/^git\+/, '').replace(/\.git$/, '');
    return `[${text}](${site}/blob/v${version}/${file}${fragment === undefined ? '' : `#${fragment}`})`;
  };
  const text = readFileSync(join(root, page), 'utf8');
  // Code may look like a link.
  const parts = text.split(/^(```[^]*?^```$)/m);
  return parts
    .map((part, index) => {
      if (index % 2 === 1) return part;
      const withoutPictures = part.replaceAll(/<picture>[^]*?<\/picture>\n*|<img [^>]*>\n*|!\[[^\]]*\]\([^)\s]*\)\n*/g, '');
      return withoutPictures.replaceAll(/\[((?:[^\][]|\[[^\]]*\])*)\]\(([^)\s]+)\)/g, link);
    })
    .join('');
}
