/**
 * Names what was passed instead of the expected value: `undefined`, `null`, `a function`, `an
 * array`, `a Promise`, `an object`.
 */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name: unknown = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
  if (typeof name !== 'string' || !/^[A-Za-z]\w{0,40}$/.test(name) || name === 'Object') return 'an object';
  return `${/^[AEIOaeio]/.test(name) ? 'an' : 'a'} ${name}`;
}
