import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesOf, ownerOf, publishedAs } from '#dist/address/names.js';
import { parseAddress } from '#dist/address/address.js';

const platforms = ['linux', 'darwin', 'win32'] as const;

test('pathnames → as they were given, on every platform', () => {
  for (const platform of platforms) {
    for (const path of [
      '/run/app.sock',
      'app.sock',
      './@app',
      '../app',
      'a/b',
      '...',
      '.a',
      'a.',
      ' ',
      '/@app',
      'a@b',
      '..a',
      'a..',
    ]) {
      assert.deepEqual(parseAddress(path, undefined, platform), { kind: 'pathname', path });
    }
  }
});

test('what can only be a directory, or nothing → said so', () => {
  for (const platform of platforms) {
    assert.deepEqual(parseAddress('', undefined, platform), { bad: 'empty' });
    for (const path of ['/', 'a/', '.', '..', './', '../', 'a/.', 'a/..', '/..', '//']) {
      assert.deepEqual(parseAddress(path, undefined, platform), { bad: 'trailing-slash' }, path);
    }
    for (const path of ['a\0', 'a\0b', '/\0', './\0a'])
      assert.deepEqual(parseAddress(path, undefined, platform), { bad: 'nul' }, path);
  }
});

test('abstract names, with @ or a NUL before them → the same name; elsewhere than on Linux they are unsupported', () => {
  for (const sign of ['@', '\0']) {
    for (const name of ['app', 'a/b', 'a/', '.', '@', '\0', 'a\0b', 'é', 'x'.repeat(107), 'é'.repeat(53)]) {
      assert.deepEqual(parseAddress(sign + name, undefined, 'linux'), { kind: 'abstract', name });
      assert.deepEqual(parseAddress(sign + name, undefined, 'darwin'), { bad: 'abstract-unsupported' });
      assert.deepEqual(parseAddress(sign + name, undefined, 'win32'), { bad: 'abstract-unsupported' });
    }
    for (const name of ['x'.repeat(108), 'é'.repeat(54), '💬'.repeat(27)]) {
      assert.deepEqual(parseAddress(sign + name, undefined, 'linux'), { bad: 'abstract-too-long' });
    }
    assert.deepEqual(parseAddress(sign, undefined, 'linux'), { bad: 'empty' });
    assert.deepEqual(parseAddress(`${sign}app`, '/lock', 'linux'), { bad: 'lock-path' });
  }
});

test('a Windows pipe → a pipe on Windows, and a strange file name elsewhere', () => {
  for (const path of [String.raw`\\.\pipe\app`, String.raw`\\?\pipe\app`, '//./pipe/app', String.raw`\\.\PIPE\app`]) {
    assert.deepEqual(parseAddress(path, undefined, 'win32'), { kind: 'pipe', path });
    assert.deepEqual(parseAddress(path, undefined, 'linux'), { kind: 'pathname', path });
  }
});

test('a lock path → kept; one that cannot be a file → said so', () => {
  assert.deepEqual(parseAddress('a', 'b', 'linux'), { kind: 'pathname', path: 'a', lockPath: 'b' });
  for (const lockPath of ['', 'a\0', 'a/', '.', '..', '/'])
    assert.deepEqual(parseAddress('a', lockPath, 'linux'), { bad: 'lock-path' });
});

test('the names next to a socket that appear for a moment → a pattern that ignores the socket ignores them too', () => {
  const { aside, recalled, private: privately, handoverAside } = namesOf('app.sock');
  for (const name of [aside, recalled, privately]) assert.match(name, /^\..*\.sock$/);
  assert.deepEqual([ownerOf(aside), ownerOf(handoverAside)], ['app.sock', 'app.sock']);
});

test('the name of a socket in a private directory → the path that it has got; any other name is itself', () => {
  assert.equal(publishedAs('/run/.reuseaddr-private.app.sock/12-1'), '/run/app.sock');
  assert.equal(publishedAs('/.reuseaddr-private.app.sock/12-1'), '/app.sock');
  for (const name of ['', '/run/app.sock', '@app', '.reuseaddr-private.app.sock', '/run/.reuseaddr-private.app.sock', 'a/b'])
    assert.equal(publishedAs(name), name);
});
