import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** All other files ask `address/socketType.ts` what a type has, or pass it on. */
const filesMax = 9;

/** The streams of HTTP/2 are no sockets. */
const http2 = /(?:Listener\(|event: )'stream'/g;

test('a type of socket is named in fewer than ten files: a new one needs a look at no more', () => {
  const naming = [...sources('src', '.ts'), ...sources('native', '.c')].filter((path) => namesType(readFileSync(path, 'utf8')));
  assert.ok(
    naming.some((path) => path.endsWith('address/socketType.ts')),
    'the pattern finds the table of the types',
  );
  assert.ok(naming.length <= filesMax, `${naming.length} files: ${naming.join(', ')}`);
});

test('the pattern → names in code count, and those in comments do not', () => {
  for (const code of [`if (type === 'datagram')`, 'socket(AF_UNIX, SOCK_SEQPACKET, 0)', `type: 'stream'`])
    assert.ok(namesType(code));
  for (const other of [`// 'datagram'`, `/* SOCK_DGRAM */`, ` * 'seqpacket'`, `session.prependOnceListener('stream', close)`])
    assert.ok(!namesType(other), other);
});

function namesType(text: string): boolean {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$|^ \* .*$/gm, '').replaceAll(http2, '');
  return /'(?:stream|datagram|seqpacket)'|\bSOCK_(?:STREAM|DGRAM|SEQPACKET)\b/.test(code);
}

function sources(folder: string, ending: string): string[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return files.filter((name) => name.endsWith(ending)).map((name) => join(root, folder, name));
}
