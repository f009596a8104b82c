/**
 * No sentence begins with a clause in place of its subject: "What is stale is removed". Questions
 * may.
 */
// oxlint-disable-next-line import/no-default-export -- textlint loads the default export.
export default ({ Syntax, RuleError, getSource, report }) => ({
  [Syntax.Paragraph](node) {
    const text = getSource(node);
    for (const match of text.matchAll(/(?<=^|[.:!?]\s+)(Of|Where|What|Who|Whose)\s[^.?!]*[.!]/g)) {
      report(node, new RuleError(`Begin with the subject, not with "${match[1]}"`, { index: match.index }));
    }
  },
});
