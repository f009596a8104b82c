/** A reporter of node:test that shows how far a run is: `file 12 of 140: claim/faults`. */
// oxlint-disable-next-line import/no-default-export -- node:test loads reporters by it.
export default async function* progress(events) {
  const files = { begun: 0, ended: 0 };
  for await (const { type, data } of events) {
    // Node reports each file as a test whose name is the file. It announces all files before it
    // runs the first.
    if (data.nesting !== 0 || !data.name?.endsWith('.test.js')) continue;
    if (type === 'test:enqueue') files.begun++;
    if (type === 'test:complete') yield `file ${++files.ended} of ${files.begun}: ${shortName(data.name)}\n`;
  }
}

function shortName(path) {
  return path.replace(/^.*\/build\/tests\//, '').replace(/\.test\.js$/, '');
}
