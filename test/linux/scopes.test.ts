import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scopeIndex, scopeName } from '../../src/linux/scopes.js';

test('scopeIndex and scopeName know the loopback interface, and say when there is none', () => {
  const index = scopeIndex('lo');
  assert.ok(index !== undefined && index > 0);
  assert.equal(scopeName(index), 'lo');
  assert.equal(scopeIndex('tu-no-such-if'), undefined);
  assert.equal(scopeName(0x7fffffff), undefined);
});
