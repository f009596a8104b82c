/**
 * `npm run explorer`: builds `build/explorer/index.html`, one page that needs no server, no network
 * and no other file.
 */
import { mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { prepare } from './prepare.mjs';
import { main, root, runTool, step } from './step.mjs';

/** The greatest size of the page. */
const pageBytesMax = 150_000;

/**
 * Checks the types, bundles, and puts script and style into the page. Needs `dist/`. Returns the
 * file and its size in bytes.
 */
export async function buildExplorer() {
  await runTool('typescript/bin/tsc', '-p', 'explorer');
  const { build } = await import('esbuild');
  const options = { bundle: true, minify: true, write: false, target: 'es2023', legalComments: 'none', logLevel: 'silent' };
  const [script, style] = await Promise.all([
    build({ ...options, absWorkingDir: root, entryPoints: ['explorer/main.ts'], format: 'iife' }),
    build({ ...options, absWorkingDir: root, entryPoints: ['explorer/style.css'] }),
  ]);
  const parts = {
    style: `<style>${style.outputFiles[0].text.trim()}</style>`,
    // A script ends at the first `</script`, even inside a string.
    script: `<script>${script.outputFiles[0].text.trim().replaceAll('</script', '<\\/script')}</script>`,
  };
  const template = readFileSync(join(root, 'explorer/index.html'), 'utf8');
  const page = template.replace(/<!-- (style|script) -->/g, (_all, part) => parts[part]);
  const bytes = Buffer.byteLength(page);
  if (bytes > pageBytesMax) throw new Error(`the explorer weighs ${bytes} bytes, more than ${pageBytesMax}`);
  const folder = join(root, 'build/explorer');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'index.html');
  // Written under another name first: a browser that opens it now must find the whole page.
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, page);
  renameSync(unfinished, file);
  return { file, bytes };
}

if (process.argv[1] && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  await main(async () => {
    await prepare();
    const { file, bytes } = await step('explorer', buildExplorer);
    console.log(
      `\n${relative(process.cwd(), file)}  ${(bytes / 1000).toFixed(0)} kB\nOpen ${pathToFileURL(file).href} in a browser.`,
    );
  });
}
