import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { needs } from '../support/commands.js';

/** The repository's root folder. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** A fenced block of a page. */
export interface Example {
  readonly language: string;
  readonly line: number;
  /** The heading that it stands under. */
  readonly heading: string;
  readonly text: string;
}

/** The programs of other people that an example calls. */
export function needsOf({ text }: Example): { skip: string | false } {
  return needs(...['curl', 'python3'].filter((program) => new RegExp(`\\b${program} `).test(text)));
}

/** All the fenced blocks of a page. */
export function examplesOf(page: string): readonly Example[] {
  const examples: Example[] = [];
  let heading = '';
  let open: { language: string; line: number; lines: string[] } | undefined;
  for (const [index, line] of page.split('\n').entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence === null) {
      if (open !== undefined) open.lines.push(line);
      else heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
    } else if (open === undefined) open = { language: fence[1] ?? '', line: index + 1, lines: [] };
    else {
      examples.push({ language: open.language, line: open.line, heading, text: open.lines.join('\n') });
      open = undefined;
    }
  }
  return examples;
}

/** A folder outside the repository, with the package installed in it as a user would have it. */
export class Project {
  readonly directory: string;
  readonly tarball: string;

  constructor(directory: string) {
    this.directory = directory;
    fs.writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'example', private: true, type: 'module' }));
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    this.tarball = join(directory, filename);
    execFileSync('sh', ['-c', this.installCommand], { cwd: directory });
  }

  /** The command for `npm install reuseaddr` here, where the package may not be published yet. */
  get installCommand(): string {
    return `npm install --offline --no-audit --no-fund --silent ${this.tarball}`;
  }

  /**
   * Runs an example until it ends, or until it has printed what it says that it prints: `// →
   * text`. In place of /run and /tmp it gets a folder of its own, and for an abstract name one of
   * its own.
   */
  async run(
    example: Example,
  ): Promise<{ readonly status: number | null; readonly printed: string; readonly missing: readonly string[] }> {
    const folder = fs.mkdtempSync(join(this.directory, 'e'));
    const text = example.text
      .replaceAll(/\/(run|tmp)\//g, `${folder}/`)
      .replaceAll(/@app\b/g, `@app-${process.pid}-${example.line}`)
      .replaceAll('node_modules/.bin/', join(this.directory, 'node_modules/.bin/'))
      .replaceAll('npm install reuseaddr', this.installCommand);
    const expected = [...text.matchAll(/(?:\/\/|#) → (.*)$/gm)].map((match) => match[1] ?? '');
    return await runUntilPrinted(example.language === 'sh' ? ['sh', '-c', text] : this.#compile(folder, text), folder, expected);
  }

  #compile(folder: string, text: string): string[] {
    fs.writeFileSync(join(folder, 'example.ts'), text);
    const options = '--strict --target es2023 --lib es2023,esnext.disposable --module node20 --types node --outDir out'.split(
      ' ',
    );
    const typeRoots = join(root, 'node_modules/@types');
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    try {
      execFileSync(process.execPath, [compiler, ...options, '--typeRoots', typeRoots, 'example.ts'], {
        cwd: folder,
        encoding: 'utf8',
      });
    } catch (error) {
      throw new Error(`it does not compile:\n${(error as { stdout?: string }).stdout}`, { cause: error });
    }
    return [process.execPath, 'out/example.js'];
  }
}

function runUntilPrinted(
  [command = '', ...args]: readonly string[],
  cwd: string,
  expected: readonly string[],
): Promise<{ status: number | null; printed: string; missing: readonly string[] }> {
  const path = `${join(cwd, '../node_modules/.bin')}${delimiter}${process.env['PATH']}`;
  // A process group of its own, so that what it has started ends with it.
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let printed = '';
  let ended = false;
  const hear = (text: string): void => {
    printed += text;
    if (ended || expected.length === 0 || missingOf(printed, expected).length > 0) return;
    ended = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  child.stdout.setEncoding('utf8').on('data', hear);
  child.stderr.setEncoding('utf8').on('data', hear);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status: ended ? 0 : status, printed, missing: missingOf(printed, expected) }));
  });
}

/** The expected texts that are yet to come, each of which comes after the one before it. */
function missingOf(printed: string, expected: readonly string[]): readonly string[] {
  let from = 0;
  for (const [index, text] of expected.entries()) {
    const at = printed.indexOf(text, from);
    if (at < 0) return expected.slice(index);
    from = at + text.length;
  }
  return [];
}
