/**
 * Builds native/*.c into prebuilt/reuseaddr.<platform>-<arch>.node.
 *
 *     node scripts/build-native.mjs [--force] [--arch arm64] [--output FILE]
 *
 * The compiler is $CC, or cc. For another processor it is $CC_CROSS, or Debian's cross compiler.
 *
 * The same source gives the same bytes in every directory. Output that is newer than its sources is
 * left alone.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sourceFolder = join(root, 'native');

const compileFlags = [
  '-std=c11',
  // Four of these files are in the package, and they spend their time in system calls.
  '-Os',
  '-fno-asynchronous-unwind-tables',
  '-fno-unwind-tables',
  '-fPIC',
  '-Wall',
  '-Wextra',
  '-Wpedantic',
  '-Werror',
  '-fvisibility=hidden',
  // Both would call functions that only the libc of the build machine may have.
  '-fno-stack-protector',
  '-U_FORTIFY_SOURCE',
  // Keeps the paths of this machine out of the output.
  '-ffile-prefix-map=' + root + '=.',
];

const archFlags = {
  // By default, Debian's compiler calls libgcc for each atomic operation, to choose the instruction
  // at run time. Nothing is linked here.
  arm64: ['-mno-outline-atomics'],
};

const archLinkFlags = {
  // The read-only part of the data would end at a multiple of 64 KB, the largest page of this
  // processor, after 30 KB of zeros in each installed package.
  arm64: ['-Wl,-z,norelro'],
};

// The published addon for arm64 would otherwise be larger than that for x64.
const crossFlags = ['-flto'];

/** Debian's names for the cross compilers (gcc-aarch64-linux-gnu). */
const crossCompilers = { 'linux-arm64': 'aarch64-linux-gnu-gcc', 'linux-x64': 'x86_64-linux-gnu-gcc' };

const linkFlags = {
  // Nothing in DT_NEEDED: Node has loaded the libc already, glibc or musl. nodelete: a thread may
  // still run this code when the end of a worker would unmap it. now: a missing symbol shows when
  // the addon is loaded, not in the middle of a claim.
  linux: [
    '-shared',
    '-nostdlib',
    '-nodefaultlibs',
    '-Wl,-z,nodelete',
    '-Wl,-z,now',
    '-Wl,-z,relro',
    '-Wl,-z,noexecstack',
    '-Wl,-z,noseparate-code',
    '-Wl,--build-id=none',
    '-Wl,--hash-style=gnu',
    '-s',
  ],
  darwin: ['-bundle', '-undefined', 'dynamic_lookup'],
};

/**
 * Builds the addon, unless it is up to date.
 *
 * @returns {string | undefined} the file, or undefined on Windows, which needs none
 */
export function buildNative({ platform = process.platform, arch = process.arch, force = false, output: elsewhere } = {}) {
  if (platform === 'win32') return undefined;
  const output = elsewhere ?? join(root, 'prebuilt', `reuseaddr.${platform}-${arch}.node`);
  const sources = readdirSync(sourceFolder)
    .sort()
    .map((file) => join(sourceFolder, file));
  const newest = Math.max(...[...sources, fileURLToPath(import.meta.url)].map(modified));
  if (!force && modified(output) > newest) return output;

  const own = platform === process.platform && arch === process.arch;
  const usual = own ? 'cc' : (crossCompilers[`${platform}-${arch}`] ?? 'cc');
  // In a cross build, $CC still compiles for this machine.
  const [compiler, ...compilerFlags] = ((own ? process.env.CC : process.env.CC_CROSS) || usual).trim().split(/\s+/);
  mkdirSync(dirname(output), { recursive: true });
  // Written under another name first: a process that loads the addon now must find the old file or
  // the new one, not half of it.
  const unfinished = `${output}.${process.pid}`;
  const flags = [
    ...compilerFlags,
    ...compileFlags,
    ...(platform === 'linux' ? (archFlags[arch] ?? []) : []),
    ...(own ? [] : crossFlags),
    '-I',
    join(root, 'node_modules/node-api-headers/include'),
    ...sources.filter((file) => file.endsWith('.c')),
    '-o',
    unfinished,
    ...(linkFlags[platform] ?? linkFlags.linux),
    ...(platform === 'linux' ? (archLinkFlags[arch] ?? []) : []),
  ];
  const compiled = spawnSync(compiler, flags, { cwd: root, encoding: 'utf8' });
  if (compiled.error || compiled.status !== 0) {
    rmSync(unfinished, { force: true });
    const noCompiler = compiled.error?.code === 'ENOENT';
    throw new Error(
      `Cannot build ${relative(root, output)}: ` +
        (noCompiler
          ? `there is no C compiler "${compiler}". Install one (Debian: gcc libc6-dev, for the other processor ` +
            'gcc-aarch64-linux-gnu libc6-dev-arm64-cross; Alpine: gcc musl-dev linux-headers; macOS: xcode-select --install), ' +
            `or name yours in ${own ? 'CC' : 'CC_CROSS'}.`
          : `${compiler} failed${compiled.signal ? ` with ${compiled.signal}` : ''}.\n${compiled.error?.message ?? compiled.stderr}`),
    );
  }
  renameSync(unfinished, output);
  return output;
}

function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity;
}

if (process.argv[1] && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  const { values } = parseArgs({
    options: { force: { type: 'boolean' }, arch: { type: 'string' }, output: { type: 'string' } },
  });
  try {
    const output = buildNative(values);
    console.log(output ? relative(process.cwd(), output) : 'nothing to build on this platform');
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
