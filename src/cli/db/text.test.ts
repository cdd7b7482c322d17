import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WeftError } from '../../base/errors.ts';
import { sortedDatum } from '../../ovsdb/data/datum.ts';
import { type ColumnType, plainBase, UNLIMITED } from '../../ovsdb/data/type.ts';
import { parseSchema } from '../../ovsdb/schema/schema.ts';
import { cellText } from './cell.ts';
import { Labels } from './labels.ts';
import { recordText, shorten, tableText, width } from './layout.ts';
import { formatTime, parseMoment } from './moment.ts';

const now = Date.parse('2026-03-04T12:30:15Z');

test('moments are record numbers, times, or how long ago', () => {
  assert.deepEqual(parseMoment('7', now), { kind: 'record', number: 7 });
  assert.deepEqual(parseMoment('start', now), { kind: 'record', number: 0 });
  assert.deepEqual(parseMoment('end', now), { kind: 'end' });
  assert.deepEqual(parseMoment('90s', now), { kind: 'time', time: now - 90_000 });
  assert.deepEqual(parseMoment('2h', now), { kind: 'time', time: now - 7_200_000 });
  assert.deepEqual(parseMoment('2026-03-04T12:00:00Z', now), { kind: 'time', time: now - 1_815_000 });
  for (const bad of ['', 'yesterday', '5 m', '-1', '2026-13-01', '1e3', '12:99x', '5y'])
    assert.throws(
      () => parseMoment(bad, now),
      (error) => error instanceof WeftError && error.code === 'bad-moment',
    );
});

test('a time that was printed names the same moment', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1e11, max: 4e12 }), (time) => {
      const moment = parseMoment(formatTime(time), now);
      assert.equal(moment.kind, 'time');
      // The hour that a clock shows twice names either.
      if (moment.kind === 'time') assert.equal(Math.abs(moment.time - time) % 3_600_000, 0);
    }),
  );
});

const schema = parseSchema({ name: 'Test', tables: { T: { columns: { name: { type: 'string' } } } } });
const labels = new Labels({ schema, tables: new Map() });
const strings: ColumnType = { key: plainBase('string'), value: null, min: 0, max: UNLIMITED };

test('no value can break a line or reach the terminal as a command', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ unit: 'binary' }), { maxLength: 4 }), (values) => {
      const text = cellText(sortedDatum([...values], null), strings, labels);
      assert.doesNotMatch(text, /\p{Cc}/u);
      assert.doesNotMatch(shorten(text), /\p{Cc}/u);
    }),
  );
  assert.equal(cellText(sortedDatum(['a\x1b[2Jb'], null), strings, labels), '"a\\u001b[2Jb"');
});

test('columns stand under their heads', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.string()), { minLength: 1, maxLength: 6 }), (rows) => {
      const lines = tableText(
        ['a', 'b'],
        rows.map(([x, y]) => [x, `|${y}`]),
      ).split('\n');
      assert.equal(lines.length, rows.length + 2);
      const start = Math.max(1, ...rows.map(([x]) => width(x))) + 2;
      for (const [i, [x]] of rows.entries())
        assert.equal(lines[i + 1].slice(x.length).indexOf('|') + width(x), start);
    }),
  );
  assert.equal(
    recordText([
      ['name', 'x'],
      ['a', 'y'],
    ]),
    'name  x\na     y\n',
  );
});
