/** Checks the prose that people read: pages, comments, messages, and the help of the commands. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { commentsOf, longComments } from './comments.mjs';
import { messagesOf } from './messages.mjs';
import { root, runTool, ToolFailed } from './step.mjs';

/** The folders whose comments are checked. */
const code = ['src', 'native', 'scripts', 'bench', 'demo', 'explorer', 'tests'];

/** The files whose strings are messages or names of tests. */
const speaking = /^src\/.*\.ts$|^tests\/.*\.test\.ts$/;

/** The folder of the extracted comments and help texts: textlint reads Markdown. */
const extracted = 'build/prose';

/** Checks everything. Needs `dist/`, for the help texts. */
export async function checkProse() {
  rmSync(`${root}/${extracted}`, { recursive: true, force: true });
  const sources = code.flatMap((folder) => below(folder, /\.(?:ts|mjs|js|c|h)$/));
  const long = sources.flatMap((file) => extractComments(file));
  const spoken = sources.filter((file) => speaking.test(file)).map((file) => extractMessages(file));
  const help = await extractHelp();
  const pages = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'bench/README.md',
    'src/README.md',
    'tests/README.md',
  ];
  pages.push(...below('docs', /\.md$/), ...below('examples', /\.md$/));
  await lint([...pages, ...sources.map((file) => `${extracted}/${file}.md`), ...spoken, ...help]);
  if (long.length > 0) throw new ToolFailed('The check of comments', long.join('\n'), 1);
}

/** Runs textlint. Its report names the sources instead of what was extracted from them. */
async function lint(files) {
  try {
    return await runTool('textlint/bin/textlint.js', '--format', 'unix', '--rulesdir', 'scripts/prose', ...files);
  } catch (error) {
    if (!(error instanceof ToolFailed)) throw error;
    const output = error.output
      .replaceAll(/[^\s:]*build\/prose\/messages\/([^\s:]+)\.md:(\d+)/g, (_whole, file, line) => `${file}:${(+line + 1) / 2}`)
      .replaceAll(/[^\s:]*build\/prose\/([^\s:]+)\.md:/g, '$1:');
    throw new ToolFailed('textlint', output, 1);
  }
}

function extractComments(file) {
  const source = readFileSync(`${root}/${file}`, 'utf8');
  write(`${extracted}/${file}.md`, commentsOf(source));
  return longComments(source).map((line) => `${file}:${line}: A comment has at most 100 columns`);
}

function extractMessages(file) {
  return write(
    `${extracted}/messages/${file}.md`,
    messagesOf(readFileSync(`${root}/${file}`, 'utf8'), file.startsWith('tests/')),
  );
}

/** The help of each command, as sentences. */
async function extractHelp() {
  const { commands } = await import(`${root}/dist/cli/commands.js`);
  return await Promise.all(
    Object.entries(commands).map(async ([name, { summary, load }]) => {
      const { description, options, examples, statuses = '' } = (await load()).command;
      const lines = [
        summary,
        statuses,
        ...Object.values(options).map((option) => option.summary),
        ...examples.map((each) => each[1]),
      ];
      return write(`${extracted}/help/${name}.md`, [description, ...lines].join('\n\n'));
    }),
  );
}

function write(file, text) {
  mkdirSync(dirname(`${root}/${file}`), { recursive: true });
  writeFileSync(`${root}/${file}`, text);
  return file;
}

function below(folder, name) {
  return readdirSync(`${root}/${folder}`, { recursive: true })
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
    .filter((file) => name.test(file) && !file.includes('node_modules'));
}
