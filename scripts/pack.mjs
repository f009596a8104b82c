/**
 * `npm run pack:all`: builds the package with an addon for each processor of Linux, and packs it as
 * it is published.
 *
 *     node scripts/pack.mjs [--destination FOLDER] [--release]
 *     node scripts/pack.mjs --built [--destination FOLDER]   packs the existing build
 *     node scripts/pack.mjs --refuse                         stops `npm publish` in this folder
 *
 * With `--release`, the addons for macOS (which the release workflow builds on macOS) and the
 * address of the repository must be present too.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildNative } from './build-native.mjs';
import { placeAddons, prepare } from './prepare.mjs';
import { stage } from './stage.mjs';
import { main, root, run, step } from './step.mjs';

/** One file per processor. None of them needs a libc by name, so each serves glibc and musl. */
const builtHere = ['linux-x64', 'linux-arm64'];
const builtElsewhere = ['darwin-x64', 'darwin-arm64'];

const { values } = parseArgs({
  options: {
    destination: { type: 'string', default: root },
    release: { type: 'boolean' },
    built: { type: 'boolean' },
    refuse: { type: 'boolean' },
  },
});

await main(async () => {
  if (values.refuse) throw new Error('This folder is not what is published. Run `npm run pack:all`, and publish the file.');
  if (!values.built) {
    await prepare();
    for (const target of builtHere) {
      const [platform, arch] = target.split('-');
      await step(`compile native for ${target}`, async () => buildNative({ platform, arch }));
    }
    if (values.release) await step('ready for a release', async () => checkRelease());
  }
  placeAddons();
  console.log(relative(process.cwd(), await pack(resolve(values.destination))));
});

/** Without one of the addons, the package would install well, and fail at its first use. */
function checkRelease() {
  for (const target of [...builtHere, ...builtElsewhere]) {
    if (!existsSync(join(root, `prebuilt/reuseaddr.${target}.node`)))
      throw new Error(`There is no addon for ${target}. The release workflow builds those for macOS.`);
  }
  const { repository, homepage, bugs } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  if (repository === undefined || homepage === undefined || bugs === undefined)
    throw new Error('package.json says nothing of the repository. See "Releasing" in CONTRIBUTING.md.');
}

async function pack(destination) {
  mkdirSync(join(root, 'build'), { recursive: true });
  const folder = mkdtempSync(join(root, 'build/package-'));
  try {
    stage(folder);
    const [packed] = JSON.parse(
      await run('npm', ['pack', folder, '--json', '--ignore-scripts', '--pack-destination', destination]),
    );
    return join(destination, packed.filename);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
