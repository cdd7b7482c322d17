import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asInteger, canonicalInteger, type Json, stringify, stringifySorted } from '../json.ts';
import { settled } from '../testing/clock.ts';
import type { ByteHandler, ByteStream, RpcMessage } from './channel.ts';
import { directPair } from './direct.ts';
import { Framer } from './framer.ts';
import { JsonSyntaxError, MAX_DEPTH, parseJson } from './parse.ts';
import { messageFromJson, StreamChannel } from './stream.ts';

const encoder = new TextEncoder();

/** Cuts bytes at random places, often into single bytes. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const result: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const next = at + 1 + (cuts.length === 0 ? 0 : cuts[i % cuts.length]);
    result.push(bytes.slice(at, next));
    at = next;
  }
  return result;
}

const value = fc.oneof(
  fc.array(fc.jsonValue({ maxDepth: 4 })),
  fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
);

test('texts come out whole however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), fc.array(fc.nat(6), { maxLength: 20 }), (values, cuts) => {
      const texts = values.map((v) => JSON.stringify(v));
      const out: string[] = [];
      const framer = new Framer(1 << 20);
      for (const piece of pieces(encoder.encode(texts.join(' \n')), cuts))
        framer.feed(piece, (t) => out.push(t));
      assert.deepEqual(
        out,
        texts.map((t) => new TextDecoder().decode(encoder.encode(t))),
      );
      assert.equal(framer.partial, false);
    }),
  );
});

test('garbage ends in a JsonSyntaxError or waits for more, and nothing else happens', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, bracket) => {
      const framer = new Framer(100);
      try {
        if (bracket) framer.feed(encoder.encode('[{"a":'), () => {});
        framer.feed(bytes, (text) => messageFromJson(parseJson(text)));
      } catch (error) {
        assert.ok(error instanceof JsonSyntaxError, String(error));
      }
    }),
  );
});

test('depth and size are bounded', () => {
  const deep = encoder.encode('['.repeat(MAX_DEPTH + 1));
  assert.throws(() => new Framer(1 << 20).feed(deep, () => {}), /maximum nesting depth 1000/);
  assert.throws(
    () => parseJson(`${'['.repeat(MAX_DEPTH + 1)}1000000000000000000`),
    /maximum nesting depth 1000/,
  );
  const framer = new Framer(10);
  framer.feed(encoder.encode('["12345'), () => {});
  assert.throws(() => framer.feed(encoder.encode('67890"]'), () => {}), /exceeds 10 bytes/);
  assert.throws(() => new Framer(10).feed(encoder.encode('["1234567890"]'), () => {}), /exceeds 10 bytes/);
  const ok = '['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH);
  let got = '';
  new Framer(1 << 20).feed(encoder.encode(ok), (text) => {
    got = text;
  });
  assert.equal(got, ok);
});

test('our parser agrees with the platform, with delicate numbers in the text too', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (v) => {
      const text = `[${JSON.stringify(v)},12345678901234567]`;
      const [ours] = parseJson(text) as readonly Json[];
      assert.equal(stringify(ours), stringify(JSON.parse(JSON.stringify(v)) as Json));
    }),
  );
});

test('every value comes back exactly, wherever integers of 64 bits and digits of uuids stand', () => {
  const leaf = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => canonicalInteger(n) as Json),
    fc.uuid(),
    fc.constantFrom<Json>(
      '4e567',
      '[1e999',
      '0000000000000001',
      ', 12345678901234567',
      0.5,
      -1e-7,
      true,
      null,
    ),
  );
  const { any } = fc.letrec<{ any: Json }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(fc.uuid(), tie('any'), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(fc.array(any, { maxLength: 5 }), fc.constantFrom('', ' ', '\n\t'), (values, space) => {
      const text = `${space}[${values.map((v) => `${space}${stringify(v)}${space}`).join(',')}]`;
      assert.deepEqual(parseJson(text), values);
    }),
  );
});

const refused: [string, string, RegExp][] = [
  ['null character', '["\\u0000"]', /null bytes/],
  ['lone surrogate', '["\\ud800"]', /surrogate/],
  ['broken pair', '["\\ud800\\u0041"]', /surrogate/],
  ['huge exponent', '[1e999]', /outside valid range/],
  ['leading zero', '[0123]', /number/],
  ['bare word', '[nul]', /invalid character/],
  ['trailing comma', '[1,]', /invalid character/],
  ['control character', '["\u0001"]', /control characters/],
  ['bad escape', '["\\x41"]', /bad escape/],
  ['trailing garbage', '[] []', /trailing garbage/],
  ['open string', '["abc', /end of input/],
];
for (const [name, text, pattern] of refused) {
  test(`refused: ${name}`, () => {
    assert.throws(() => parseJson(text), pattern);
    assert.throws(() => parseJson(text), JsonSyntaxError);
  });
}

test('64-bit integers are exact and stay so', () => {
  const text = '[9223372036854775807,-9223372036854775808,1.0,-0,18446744073709551616]';
  const values = parseJson(text) as readonly Json[];
  assert.deepEqual(values, [9223372036854775807n, -9223372036854775808n, 1, 0, 18446744073709552000]);
  assert.equal(stringify(values), '[9223372036854775807,-9223372036854775808,1,0,18446744073709552000]');
  assert.equal(asInteger(values[4]), undefined);
  assert.equal(stringifySorted({ b: [1n], a: 'x' }), '{"a":"x","b":[1]}');
});

test('names from outside never reach a prototype', () => {
  const value = parseJson('{"__proto__":{"polluted":1},"n":12345678901234567890}');
  assert.equal(({} as { polluted?: number }).polluted, undefined);
  assert.ok(Object.hasOwn(value as object, '__proto__'));
});

class FakeStream implements ByteStream {
  readonly sent: string[] = [];
  closed = false;
  readonly backlog = 0;
  handler: ByteHandler | undefined;
  write(bytes: Uint8Array): void {
    this.sent.push(new TextDecoder().decode(bytes));
  }
  close(): void {
    this.closed = true;
  }
  receive(handler: ByteHandler): void {
    this.handler = handler;
  }
}

const bad = [
  '{"id":1}',
  '[1]',
  '{"method":1,"params":[],"id":1}',
  '{"method":"echo","params":{},"id":1}',
  '{"method":"echo","params":[],"id":1,"result":2}',
  '{"method":"echo","params":[],"id":1,"more":2}',
  '{"result":1,"error":2,"id":1}',
  '{"result":1,"error":null,"id":null}',
];
for (const text of bad) {
  test(`a peer that sends ${text} is cut off`, () => {
    const stream = new FakeStream();
    const channel = new StreamChannel(stream);
    const closed: string[] = [];
    const got: RpcMessage[] = [];
    channel.receive({
      onMessage: (m) => got.push(m),
      onDrain() {},
      onActivity() {},
      onClose: (r) => closed.push(r),
    });
    stream.handler!.onBytes(
      encoder.encode(`{"method":"echo","params":[],"id":0}${text}{"method":"x","params":[],"id":0}`),
    );
    assert.equal(got.length, 1);
    assert.equal(stream.closed, true);
    assert.match(closed.join(), /^received bad JSON-RPC message: /);
  });
}

test('an in-process channel delivers in order, later, and tells of the end after the rest', async () => {
  const [a, b] = directPair();
  const got: string[] = [];
  const handler = (name: string) => ({
    onMessage: (m: RpcMessage) => got.push(`${name} ${'method' in m ? m.method : 'reply'}`),
    onDrain() {},
    onActivity() {},
    onClose: (reason: string) => got.push(`${name} closed: ${reason}`),
  });
  a.receive(handler('a'));
  a.send({ method: 'one', params: [], id: 1 });
  a.send({ method: 'two', params: [], id: 2 });
  assert.equal(a.backlog, 2);
  b.receive(handler('b'));
  assert.deepEqual(got, []);
  await settled();
  a.send({ method: 'three', params: [], id: 3 });
  a.close();
  a.send({ method: 'four', params: [], id: 4 });
  await settled();
  assert.deepEqual(got, [
    'b one',
    'b two',
    'a closed: connection closed',
    'b three',
    'b closed: End of file',
  ]);
});
