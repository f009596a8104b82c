/** Checks the prose that people read against the rules in `.textlintrc.json`: pages and examples. */
import { readdirSync } from 'node:fs';
import { root, runTool } from './step.mjs';

/** Pages whose text is being rewritten. */
const unfinished = ['api', 'run', 'errors'].map((name) => `docs/${name}.md`);

export function checkProse() {
  return runTool('textlint/bin/textlint.js', '--format', 'unix', '--rulesdir', 'scripts/prose', ...pages());
}

/** Every Markdown page that a person wrote, or that is made of docstrings and messages. */
function pages() {
  const below = (folder) =>
    readdirSync(`${root}/${folder}`, { recursive: true })
      .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
      .filter((file) => file.endsWith('.md') && !file.includes('node_modules'));
  return ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', ...below('docs'), ...below('examples')].filter(
    (page) => !unfinished.includes(page),
  );
}
