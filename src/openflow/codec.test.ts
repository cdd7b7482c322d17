import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ALL_FORMS, messageOf, u32 } from './arbitraries.ts';
import { decodeMessage, encodeMessage, encodeOne, errorReply } from './codec.ts';
import { OfError } from './errors.ts';
import type { OfMessage } from './message.ts';
import { OF10, OF13, OF14, OF15 } from './version.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

function decoded(bytes: Uint8Array): OfMessage {
  const message = decodeMessage(bytes);
  if (message instanceof OfError) throw message;
  return message;
}

describe('every message, in every version and variant', () => {
  for (const { kind, version, variant } of ALL_FORMS) {
    it(`${kind}, OpenFlow 1.${version - 1}, ${variant}: what was encoded is decoded again`, () => {
      fc.assert(
        fc.property(messageOf(kind, version, variant), (message) => {
          const parts = encodeMessage(message);
          assert.equal(parts.length, 1);
          const again = decoded(parts[0]);
          // Numbers of an error come with its decoding.
          const { numbers: _, ...rest } = { numbers: null, ...again };
          assert.deepEqual(rest, { ...message });
          assert.deepEqual(encodeMessage(again), parts);
        }),
        { numRuns: 15 },
      );
    });
  }
});

/** Changes some bytes and maybe the length, of which the header then tells. */
function damage(bytes: Uint8Array, changes: readonly (readonly [number, number])[], cut: number): Uint8Array {
  const kept = bytes.slice(0, Math.max(8, bytes.length - (cut % (bytes.length + 1))));
  for (const [at, value] of changes) {
    const i = at % kept.length;
    if (i !== 2 && i !== 3) kept[i] = value;
  }
  kept[2] = kept.length >> 8;
  kept[3] = kept.length & 0xff;
  return kept;
}

const changes = fc.array(fc.tuple(fc.nat(4000), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });

describe('hostile bytes', () => {
  it('damaged messages are decoded or refused, never more', () => {
    const form = fc.constantFrom(...ALL_FORMS);
    const message = form.chain(({ kind, version, variant }) => messageOf(kind, version, variant));
    fc.assert(
      fc.property(message, changes, fc.oneof(fc.constant(0), fc.nat(200)), (m, list, cut) => {
        const bytes = damage(encodeMessage(m)[0], list, cut);
        const result = decodeMessage(bytes);
        if (result instanceof OfError) {
          const reply = decodeMessage(errorReply(result, bytes));
          assert.ok(!(reply instanceof OfError) && reply.kind === 'error');
        } else {
          reencode(result);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('random bytes behind a sound header are decoded or refused', () => {
    const version = fc.integer({ min: 0, max: 7 });
    const type = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(version, type, fc.uint8Array({ maxLength: 120 }), (v, t, body) => {
        const length = body.length + 8;
        decodeMessage(Uint8Array.of(v, t, length >> 8, length & 0xff, 0, 0, 0, 1, ...body));
      }),
      { numRuns: 3000 },
    );
  });

  it('bytes that are no message at all are refused', () => {
    for (const bytes of ['', '01', '0102000900000000', '01020007000000000000', 'ff050008 00000000']) {
      assert.ok(decodeMessage(hex(bytes)) instanceof OfError, bytes);
    }
  });
});

/** A decoded message can be encoded; what its version cannot say after all is told by an OfError. */
function reencode(message: OfMessage): void {
  try {
    encodeMessage(message);
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
  }
}

describe('multipart replies', () => {
  it('are split where 64 kB end, and say that more follow', () => {
    fc.assert(
      fc.property(messageOf('flow_stats_reply', OF13, 'std'), fc.boolean(), (m, more) => {
        const flows = Array.from({ length: 1500 }, (_, i) => m.flows[i % m.flows.length]).filter(Boolean);
        const parts = encodeMessage({ ...m, more, flows });
        const messages = parts.map(decoded);
        assert.ok(parts.every((p) => p.length <= 0xffff));
        const all = messages.flatMap((part) => (part.kind === 'flow_stats_reply' ? part.flows : []));
        assert.deepEqual(all.length, flows.length);
        messages.forEach((part, i) => {
          assert.ok(part.kind === 'flow_stats_reply');
          assert.equal(part.more, i < messages.length - 1 || more);
          assert.equal(part.xid, m.xid);
        });
      }),
      { numRuns: 4 },
    );
  });

  it('an empty one is one message', () => {
    const parts = encodeMessage({ version: OF14, xid: 7, kind: 'port_desc_reply', more: false, ports: [] });
    assert.deepEqual(parts, [hex('0513001000000007000d000000000000')]);
  });
});

describe('errors', () => {
  const request = hex('0300000812345678');

  it('are numbered as each version and experimenter has it', () => {
    const cases = [
      ['OFPRRFC_BAD_ROLE', '01', '0101001c12345678b0c200000000232000010201'],
      ['OFPRRFC_BAD_ROLE', '02', '0201001c12345678b0c200000000232000010201'],
      ['OFPRRFC_BAD_ROLE', '03', '0301001412345678000b0002'],
      ['NXBRC_MUST_BE_ZERO', '02', '0201001c12345678b0c200000000232000010203'],
      ['NXBRC_MUST_BE_ZERO', '03', '0301001812345678ffff000400002320'],
      ['OFPBIC_DUP_INST', '01', '0101001c12345678b0c200000000232000010209'],
      ['OFPBIC_DUP_INST', '02', '0201001c12345678b0c200000000232000030100'],
      ['OFPBIC_DUP_INST', '04', '0401001812345678ffff0a284f4e4600'],
      ['OFPBIC_DUP_INST', '05', '050100141234567800030009'],
    ] as const;
    for (const [name, version, expected] of cases) {
      const bytes = hex(`${version}00000812345678`);
      assert.deepEqual(
        errorReply(name, bytes),
        hex(`${expected}${version}00000812345678`),
        `${name} ${version}`,
      );
    }
  });

  it('carry the offending bytes, as many as a message has room for', () => {
    const large = new Uint8Array(0xffff);
    large.set([4, 2, 0xff, 0xff, 0, 0, 0, 9]);
    const reply = errorReply('OFPBRC_BAD_LEN', large);
    assert.equal(reply.length, 0xffff);
    const message = decoded(reply);
    assert.ok(message.kind === 'error' && message.error === 'OFPBRC_BAD_LEN');
    assert.deepEqual(message.data, large.subarray(0, 0xffff - 12));
    assert.equal(message.xid, 9);
  });

  it('answer a request of a version that does not exist in 1.0', () => {
    const reply = errorReply('OFPBRC_BAD_VERSION', hex('630500080000abcd'));
    assert.deepEqual(reply, hex('010100140000abcd 00010000 630500080000abcd'));
  });

  it('that nobody knows keep their numbers', () => {
    const message = decoded(hex('0401 0010 00000001 0063 0042 01020304'));
    assert.ok(message.kind === 'error');
    assert.equal(message.error, null);
    assert.deepEqual(message.numbers, { vendor: 0, type: 0x63, code: 0x42 });
    assert.deepEqual(encodeOne(message), hex('0401 0010 00000001 0063 0042 01020304'));
    assert.deepEqual(errorReply('OFPBRC_BAD_TYPE', request).length, 20);
  });
});

describe('what a version cannot say', () => {
  it('is refused by name', () => {
    assert.throws(
      () => encodeMessage({ version: OF10, xid: 0, kind: 'table_desc_request' }),
      /OpenFlow 1\.0 has no/,
    );
    assert.throws(
      () => encodeMessage({ version: OF15, xid: 0, kind: 'barrier_request', variant: 'nx' }),
      /OpenFlow 1\.5 has no nx barrier_request/,
    );
  });

  it('a bundle in 1.3 is the ONF extension by itself', () => {
    const bytes = encodeOne({
      version: OF13,
      xid: 1,
      kind: 'bundle_control',
      bundle: 5,
      type: 'open_request',
      flags: 1,
    });
    assert.deepEqual(bytes, hex('04040018 00000001 4f4e4600 000008fc 00000005 0000 0001'));
  });
});

describe('bundle add', () => {
  it('holds a whole message of the same xid', () => {
    fc.assert(
      fc.property(messageOf('flow_mod', OF14, 'std'), u32, (flowMod, bundle) => {
        const message = encodeOne(flowMod);
        const add = encodeOne({
          version: OF14,
          xid: flowMod.xid,
          kind: 'bundle_add',
          bundle,
          flags: 3,
          message,
        });
        const again = decoded(add);
        assert.ok(again.kind === 'bundle_add');
        assert.deepEqual(again.message, message);
        const other = decodeMessage(
          encodeOne({ version: OF14, xid: flowMod.xid ^ 1, kind: 'bundle_add', bundle, flags: 3, message }),
        );
        assert.ok(other instanceof OfError && other.ofperr === 'OFPBFC_MSG_BAD_XID');
      }),
      { numRuns: 30 },
    );
  });
});
