/** The runtimes that differ from Node. `runtime.ts` has the differences. */
export const isDeno = 'deno' in process.versions;
export const isBun = 'bun' in process.versions;
