/**
 * Prose lines have at most 100 columns. Exempts tables, code, links that do not fit, and messages,
 * which have one line each.
 */
const columnsMax = 100;
const onlyCode = /^\W*`[^`]+`\W*$/;

// oxlint-disable-next-line import/no-default-export -- textlint loads the default export.
export default ({ Syntax, RuleError, getSource, getFilePath, report }) => ({
  [Syntax.Paragraph](node) {
    if (node.parent.type === 'TableCell' || getFilePath().includes('/build/prose/messages/')) return;
    let index = 0;
    // The first line may follow the dash of a list.
    let column = node.loc.start.column;
    for (const line of getSource(node).split('\n')) {
      if (column + line.length > columnsMax && line.trim().includes(' ') && !line.includes('](') && !onlyCode.test(line))
        report(node, new RuleError(`A line of ${line.length} columns; wrap it at ${columnsMax}`, { index }));
      index += line.length + 1;
      column = 0;
    }
  },
});
