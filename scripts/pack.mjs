/**
 * `npm run pack:all`: builds the package with an addon for each processor that Linux runs on here, and packs it.
 *
 *     node scripts/pack.mjs [--destination FOLDER] [--release]
 *     node scripts/pack.mjs --check                       what `npm pack` and `npm publish` do first: is everything there?
 *
 * `--release`: the addons for macOS, which the release workflow builds on macOS, must be there too.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildNative } from './build-native.mjs';
import { prepare } from './prepare.mjs';
import { main, root, run, step } from './step.mjs';

/** One file per processor: none of them has a libc in its needed list, so each serves glibc and musl. */
const builtHere = [
  { platform: 'linux', arch: 'x64' },
  { platform: 'linux', arch: 'arm64' },
];
const builtElsewhere = [
  { platform: 'darwin', arch: 'x64' },
  { platform: 'darwin', arch: 'arm64' },
];

const { values } = parseArgs({
  options: { destination: { type: 'string' }, release: { type: 'boolean', default: false }, check: { type: 'boolean' } },
});
const wanted = values.release || process.env.REUSEADDR_RELEASE === '1' ? [...builtHere, ...builtElsewhere] : builtHere;

await main(async () => {
  if (!values.check) {
    await prepare();
    for (const target of builtHere) await step(`compile native for ${nameOf(target)}`, async () => buildNative(target));
  }
  await step('the addons are there', async () => checkAddons());
  if (values.check) return;
  const destination = resolve(values.destination ?? root);
  const [packed] = JSON.parse(await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', destination]));
  console.log(relative(process.cwd(), join(destination, packed.filename)));
});

function nameOf({ platform, arch }) {
  return `${platform}-${arch}`;
}

/** A package without one of them would install well, and fail at its first use. */
function checkAddons() {
  const newest = Math.max(...readdirSync(join(root, 'native')).map((file) => statSync(join(root, 'native', file)).mtimeMs));
  for (const target of wanted) {
    const file = join(root, 'prebuilt', nameOf(target), 'reuseaddr.node');
    const how = target.platform === process.platform ? 'Run `npm run pack:all`.' : 'The release workflow builds it.';
    if (!existsSync(file)) throw new Error(`There is no addon for ${nameOf(target)}. ${how}`);
    if (builtHere.includes(target) && statSync(file).mtimeMs < newest)
      throw new Error(`${file} is older than its source. ${how}`);
  }
}
