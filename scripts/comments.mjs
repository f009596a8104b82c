/** Takes the comments out of a source file, so that the prose check can read them as Markdown. */

const columnsMax = 100;

/** Comments of these are for tools, not for people. */
const directive = /^(?:oxlint-|@ts-|#(?:region|endregion))/;

/** A tag of a docstring, which begins a sentence but is none of its words. */
const tag = /^@(?:throws \{\w+\}|\w+)\s*/;

/**
 * Returns the comments of TypeScript, JavaScript or C as Markdown in which every line keeps its
 * number. Lines of code become empty, which also separates the paragraphs.
 */
export function commentsOf(source) {
  return linesOf(source)
    .map(({ text }) => text)
    .join('\n');
}

/** Returns the numbers of comment lines that are too long. Links and examples may be. */
export function longComments(source) {
  const lines = source.split('\n');
  let inExample = false;
  return linesOf(source).flatMap(({ text, only }, index) => {
    if (text.startsWith('```')) inExample = !inExample;
    return only && !inExample && lines[index].length > columnsMax && !text.includes('://') ? [index + 1] : [];
  });
}

function linesOf(source) {
  let inBlock = false;
  return source.split('\n').map((line) => {
    const read = inBlock ? within(line) : begun(line);
    inBlock = read.open;
    return read;
  });
}

function within(line) {
  const end = line.indexOf('*/');
  const text = (end === -1 ? line : line.slice(0, end)).replace(/^\s*\*(?: |$)/, '').replace(tag, '');
  return { text: text.trimEnd(), open: end === -1, only: true };
}

function begun(line) {
  const block = /^\s*\/\*+(?: |$)(.*)$/.exec(line);
  if (block !== null) return within(block[1]);
  const text = /(?:^|[;{},(\s])\/\/ (.*)$/.exec(line)?.[1] ?? /\s\/\* (.*) \*\/$/.exec(line)?.[1] ?? '';
  return { text: directive.test(text) ? '' : text, open: false, only: /^\s*\/\//.test(line) && !directive.test(text) };
}
