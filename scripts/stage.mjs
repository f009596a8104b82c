/**
 * Puts the package as it is published into a folder of its own: only the files that a user's
 * program and its author need.
 *
 * The manifest has no `imports` of the tests, no scripts and no development dependencies. The pages
 * have no links to files that are not there.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { root } from './step.mjs';

/** The published paths. A folder is published with everything in it. */
const published = ['dist/bundle', 'docs', 'man', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE'];

/** Exceptions: pages for contributors, what types and manual page already say, and pictures. */
const unpublished = [/^docs\/(api|command-line|explorer|protocol)\b/, /^docs\/.*\.(svg|png)$/];

/** Fields of package.json that have a meaning only in the repository. */
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

/**
 * Returns a page without pictures. Its links to unpublished files lead to the repository if its
 * address is known. Otherwise the text names the file, so that a sentence about a page stays one.
 */
function readable(page, files, { repository, version }) {
  const link = (whole, text, target) => {
    const [path, fragment] = target.split('#');
    const file = posix.normalize(posix.join(posix.dirname(page), path)).replace(/\/$/, '');
    if (/^\w+:/.test(target) || path === '' || files.has(file)) return whole;
    if (repository === undefined)
      return text.endsWith(posix.basename(file)) ? `${text} of the repository` : `${text} (${file} of the repository)`;
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
