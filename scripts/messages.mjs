/** Takes the sentences out of the strings of a source file, for the prose check. */

/** A string literal of one line. Those in comments are read as comments. */
const literal = /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g;
const comment = /^\s*(?:\/\/|\/?\*)/;

/** Shorter strings are names, options or parts of a command. */
const wordsMin = 4;

/**
 * Returns the strings that people read as Markdown, each line as a paragraph: line N of the source
 * is line 2N - 1. Values in a template become names.
 *
 * @param ofTests only the names of tests: the other strings there are programs and expectations
 */
export function messagesOf(source, ofTests) {
  return source
    .split('\n')
    .map((line) => (comment.test(line) ? [] : sentencesOf(line)))
    .map((sentences) => sentences.filter((text) => !ofTests || text.includes(' → ')).join(' — '))
    .join('\n\n');
}

function sentencesOf(line) {
  let values = 0;
  return [...line.matchAll(literal)]
    .map((found) => found[1] ?? found[2] ?? found[3])
    .map((text) =>
      text
        .replaceAll(/\$\{[^}]*\}/g, () => `V${++values}`)
        .replaceAll(/\\n/g, ' ')
        .replaceAll('\\', '')
        .trim(),
    )
    .filter((text) => text.split(/\s+/).filter((word) => /^[A-Za-z][a-z’',.;:!?]*$/.test(word)).length >= wordsMin);
}
