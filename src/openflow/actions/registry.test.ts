import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { allCodecs, codecOf, parserOf, wireForms } from './registry.ts';

test('each action stands under its own type', () => {
  for (const codec of allCodecs()) assert.equal(codecOf(codec.type), codec);
});

test('no two actions begin with the same word or share an encoding', () => {
  const words = allCodecs().flatMap((codec) => Object.keys(codec.words));
  assert.equal(new Set(words).size, words.length);
  for (const word of words) assert.ok(parserOf(word.toUpperCase()) !== undefined, word);
  const forms = wireForms().flatMap(({ vendor, type, since, until }) =>
    [1, 2, 3, 4, 5, 6].filter((v) => v >= since && v <= until).map((v) => `${v}/${vendor}/${type}`),
  );
  assert.equal(new Set(forms).size, forms.length);
});

test('encodings are multiples of 8 bytes long', () => {
  for (const { minLength, maxLength } of wireForms()) {
    assert.equal(minLength % 8, 0);
    assert.equal(maxLength % 8, 0);
    assert.ok(minLength <= maxLength);
  }
});

test('the documentation names every word', () => {
  const text = readFileSync(new URL('../../../docs/actions.md', import.meta.url), 'utf8');
  for (const codec of allCodecs()) {
    for (const word of Object.keys(codec.words)) assert.match(text, new RegExp(`\\b${word}\\b`), word);
  }
});
