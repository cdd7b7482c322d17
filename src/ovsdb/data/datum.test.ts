import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Json } from '../json.ts';
import { formatReal } from './atom.ts';
import {
  compareDatums,
  Datum,
  datumEquals,
  datumFromJson,
  datumKey,
  datumToJson,
  datumToText,
  excludesAll,
  includesAll,
  sortedDatum,
} from './datum.ts';
import { addedRemoved, applyDiff, diffDatums, subtractDatums, unionDatums } from './diff.ts';
import { type ColumnType, columnTypeToJson, describeType, parseColumnType } from './type.ts';

const SET = parseColumnType({ key: 'integer', min: 0, max: 'unlimited' });
const MAP = parseColumnType({ key: 'string', value: 'integer', min: 0, max: 'unlimited' });

const NUMBERS = parseColumnType({ key: 'integer', value: 'integer', min: 0, max: 'unlimited' });

const int = fc.integer({ min: -5, max: 15 });
const set = fc.uniqueArray(int, { maxLength: 12 }).map((keys) => sortedDatum(keys, null));
const map = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'é', '\u{1f600}'), int), { selector: ([k]) => k })
  .map((pairs) =>
    sortedDatum(
      pairs.map(([k]) => k),
      pairs.map(([, v]) => v),
    ),
  );

function asMap(d: Datum): Map<unknown, unknown> {
  return new Map(d.keys.map((k, i) => [k, d.values === null ? true : d.values[i]]));
}

for (const [name, type, datum] of [
  ['sets', SET, set],
  ['maps', MAP, map],
] as const) {
  test(`${name}: differences, unions and the like agree with plain maps`, () => {
    fc.assert(
      fc.property(datum, datum, (a, b) => {
        const diff = diffDatums(a, b, type);
        assert.ok(datumEquals(applyDiff(a, diff, type), b));
        const [ma, mb] = [asMap(a), asMap(b)];
        const union = new Map([...mb, ...ma]);
        assert.deepEqual(
          asMap(unionDatums(a, b, type)),
          new Map([...union].sort(([x], [y]) => (x! < y! ? -1 : 1))),
        );
        const rest = new Map([...ma].filter(([k, v]) => mb.get(k) !== v));
        assert.deepEqual(asMap(subtractDatums(a, b, type)), rest);
        assert.equal(includesAll(a, b), rest.size === 0);
        assert.equal(excludesAll(a, b), rest.size === ma.size);
        const { added, removed } = addedRemoved(a, b, type);
        assert.deepEqual(asMap(removed), rest);
        assert.deepEqual(asMap(added), new Map([...mb].filter(([k, v]) => ma.get(k) !== v)));
      }),
    );
  });

  test(`${name}: JSON and back; keys and comparison tell equality`, () => {
    fc.assert(
      fc.property(datum, datum, (a, b) => {
        assert.ok(datumEquals(datumFromJson(type, datumToJson(a, type)), a));
        assert.equal(datumKey(a) === datumKey(b), datumEquals(a, b));
        assert.equal(compareDatums(a, b) === 0, datumEquals(a, b));
        assert.equal(compareDatums(a, b), -compareDatums(b, a) || 0);
      }),
    );
  });
}

test('a few changes to a large datum come out as many changes to a small one would', () => {
  const large = fc.uniqueArray(fc.integer({ min: 0, max: 2000 }), { minLength: 40, maxLength: 120 });
  const few = fc.uniqueArray(fc.integer({ min: 0, max: 2000 }), { maxLength: 2 });
  fc.assert(
    fc.property(
      large,
      few,
      fc.nat(119),
      fc.boolean(),
      fc.boolean(),
      (base, extra, pick, mapped, sameValue) => {
        const type = mapped ? NUMBERS : SET;
        const make = (keys: number[], value: (k: number) => number) => {
          const sorted = keys.toSorted((x, y) => x - y);
          return new Datum(sorted, mapped ? sorted.map(value) : null);
        };
        const old = make(base, (k) => k);
        // One element that is there, and some that probably are not.
        const change = make([...new Set([base[pick % base.length], ...extra])], (k) => (sameValue ? k : -1));
        const [before, after] = [asMap(old), asMap(change)];
        const expected = new Map(before);
        for (const [k, v] of after) {
          if (before.get(k) === v) expected.delete(k);
          else expected.set(k, v);
        }
        const order = (m: Map<unknown, unknown>) =>
          new Map([...m].sort(([x], [y]) => (x as number) - (y as number)));
        assert.deepEqual([...asMap(applyDiff(old, change, type))], [...order(expected)]);
        assert.deepEqual(
          [...asMap(unionDatums(old, change, type))],
          [...order(new Map([...after, ...before]))],
        );
        assert.deepEqual(
          [...asMap(subtractDatums(old, change, type))],
          [...before].filter(([k, v]) => after.get(k) !== v),
        );
      },
    ),
  );
});

test('every value is parsed or refused with an OvsdbError, whatever it is', () => {
  const types: ColumnType[] = [
    'integer',
    'real',
    'boolean',
    'string',
    'uuid',
    { key: 'integer', min: 0 },
    { key: 'uuid', min: 0, max: 3 },
    { key: 'string', value: 'real', min: 0, max: 'unlimited' },
  ].map((t) => parseColumnType(t as Json));
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.jsonValue(), fc.boolean(), (type, json, wrap) => {
      const value = (wrap ? [type.value === null ? 'set' : 'map', json] : json) as Json;
      try {
        const datum = datumFromJson(type, value);
        assert.ok(datumEquals(datumFromJson(type, datumToJson(datum, type)), datum));
      } catch (error) {
        assert.equal((error as Error).name, 'OvsdbError');
      }
    }),
  );
});

const messages: [string, Json, Json, string][] = [
  [
    'enum',
    { key: { type: 'integer', enum: ['set', [1, 2]] } },
    5,
    'constraint violation: 5 is not one of the allowed values ([1, 2])',
  ],
  [
    'minimum',
    { key: { type: 'integer', minInteger: 1 } },
    0,
    'constraint violation: 0 is less than minimum allowed value 1',
  ],
  [
    'maximum',
    { key: { type: 'real', maxReal: 0.5 } },
    1,
    'constraint violation: 1 is greater than maximum allowed value 0.5',
  ],
  [
    'range',
    { key: { type: 'integer', minInteger: 0, maxInteger: 4095 } },
    4096,
    'constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)',
  ],
  [
    'length in characters',
    { key: { type: 'string', minLength: 2 } },
    '\u{1f600}',
    'constraint violation: "\u{1f600}" length 1 is less than minimum allowed length 2',
  ],
  ['atom', 'integer', true, 'syntax "true": syntax error: expected integer'],
  ['large real', 'integer', 1e30, 'syntax "1e+30": syntax error: expected integer'],
  ['uuid', 'uuid', ['uuid', 'x'], 'syntax "["uuid","x"]": syntax error: "x" is not a valid UUID'],
  ['no uuid', 'uuid', 'x', 'syntax ""x"": syntax error: expected ["uuid", <string>]'],
  ['duplicate', { key: 'integer', max: 3 }, ['set', [1, 2, 1]], 'ovsdb error: set contains duplicate'],
  [
    'too many',
    { key: 'integer', max: 2 },
    ['set', [1, 2, 3]],
    'syntax "["set",[1,2,3]]": syntax error: set must have 1 to 2 members but 3 are present',
  ],
  ['map', { key: 'integer', value: 'integer' }, 1, 'syntax "1": syntax error: expected ["map", <array>]'],
  [
    'pair',
    { key: 'integer', value: 'integer' },
    ['map', [[1]]],
    'syntax "[1]": syntax error: expected 2-element array',
  ],
  [
    'half a pair',
    'string',
    '\ud800',
    'constraint violation: not a valid UTF-8 string: it holds a null character or half a surrogate pair',
  ],
];
for (const [name, type, value, message] of messages) {
  test(`message: ${name}`, () => {
    assert.throws(() => datumFromJson(parseColumnType(type), value), { message });
  });
}

test('integers are exact over 64 bits', () => {
  const type = parseColumnType('integer');
  for (const n of [9223372036854775807n, -9223372036854775808n, 9007199254740993n]) {
    assert.equal(datumToJson(datumFromJson(type, n), type), n);
  }
  assert.throws(() => datumFromJson(type, 9223372036854775808n), /expected integer/);
  assert.equal(datumFromJson(type, 5n).keys[0], 5);
});

test('texts of datums are those of stock messages', () => {
  const strings = parseColumnType({ key: 'string', max: 'unlimited' });
  assert.equal(
    datumToText(datumFromJson(strings, ['set', ['a b', 'c', 'true']]), strings),
    '["a b", c, "true"]',
  );
  assert.equal(datumToText(datumFromJson(MAP, ['map', [['x', 1]]]), MAP), '{x=1}');
  assert.equal(datumToText(new Datum([], null), parseColumnType({ key: 'integer', min: 0 })), '[]');
});

test('reals print as with %.15g', () => {
  const rows: [number, string][] = [
    [0.1, '0.1'],
    [1e15, '1e+15'],
    [123456, '123456'],
    [1.5e-5, '1.5e-05'],
    [0.0001, '0.0001'],
    [1 / 3, '0.333333333333333'],
    [-2, '-2'],
    [100, '100'],
  ];
  for (const [value, text] of rows) assert.equal(formatReal(value), text);
});

test('types survive JSON', () => {
  const specs: Json[] = [
    'integer',
    { key: 'integer', min: 0 },
    { key: { type: 'string', enum: ['set', ['a', 'b']] }, min: 0, max: 'unlimited' },
    {
      key: { type: 'uuid', refTable: 'T', refType: 'weak' },
      value: { type: 'real', minReal: 1 },
      min: 0,
      max: 7,
    },
    { key: { type: 'string', maxLength: 5 } },
  ];
  for (const spec of specs) assert.deepEqual(columnTypeToJson(parseColumnType(spec)), spec);
  assert.equal(describeType(parseColumnType({ key: 'integer', min: 0, max: 2 })), 'set of up to 2 integers');
  assert.equal(
    describeType(parseColumnType({ key: 'string', value: 'uuid', max: 'unlimited' })),
    'map of 1 or more (string, uuid) pairs',
  );
});
