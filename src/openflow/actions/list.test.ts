import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import { OfError } from '../errors.ts';
import { OF_VERSIONS, type OfVersion } from '../version.ts';
import { anyActions, anyInstructions } from './arbitraries.ts';
import {
  decodeActions,
  decodeInstructions,
  encodeActions,
  encodeInstructions,
  formatActions,
  MAX_DEPTH,
  parseInstructions,
} from './list.ts';
import { actionsEqual } from './query.ts';
import { wireForms } from './registry.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const unhex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const version = fc.constantFrom(...OF_VERSIONS);

test('property: what is printed reads as the same actions', () => {
  fc.assert(
    fc.property(anyInstructions(6), (actions) => {
      const text = formatActions(actions);
      const parsed = parseInstructions(text);
      assert.equal(formatActions(parsed), text);
      assert.deepEqual(encodeInstructions(parsed, 6), encodeInstructions(actions, 6));
    }),
    { numRuns: 500 },
  );
});

test('property: what is written is read back, and written the same again', () => {
  const lists = version.chain((v) => fc.tuple(fc.constant(v), anyActions(v)));
  fc.assert(
    fc.property(lists, ([v, actions]) => {
      const bytes = encodeActions(actions, v);
      const decoded = decodeActions(bytes, v);
      assert.equal(hex(encodeActions(decoded, v)), hex(bytes));
      // Once in a version's own terms, actions stay as they are.
      assert.ok(actionsEqual(decodeActions(encodeActions(decoded, v), v), decoded));
    }),
    { numRuns: 500 },
  );
});

test('property: instructions too', () => {
  const lists = fc
    .constantFrom<OfVersion>(2, 3, 4, 5, 6)
    .chain((v) => fc.tuple(fc.constant(v), anyInstructions(v)));
  fc.assert(
    fc.property(lists, ([v, actions]) => {
      const bytes = encodeInstructions(actions, v);
      assert.equal(hex(encodeInstructions(decodeInstructions(bytes, v), v)), hex(bytes));
    }),
    { numRuns: 300 },
  );
});

function outcome(decode: () => unknown): 'read' | 'refused' {
  try {
    decode();
    return 'read';
  } catch (error) {
    assert.ok(error instanceof OfError, String(error));
    return 'refused';
  }
}

test('property: any bytes are read or refused by name', () => {
  fc.assert(
    fc.property(version, fc.uint8Array({ maxLength: 200 }), (v, bytes) => {
      outcome(() => decodeActions(bytes, v));
      outcome(() => decodeInstructions(bytes, v));
    }),
    { numRuns: 2000 },
  );
});

test('property: a change or cut in what was written is read, and printed, or refused by name', () => {
  const changed = version.chain((v) =>
    fc.tuple(
      fc.constant(v),
      anyActions(v),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
      fc.nat(),
    ),
  );
  fc.assert(
    fc.property(changed, ([v, actions, changes, cut]) => {
      const bytes = encodeActions(actions, v);
      for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
      const some = bytes.subarray(0, bytes.length - (cut % 4 === 0 ? cut % (bytes.length + 1) : 0));
      outcome(() => {
        const decoded = decodeActions(some, v);
        formatActions(decoded);
        encodeActions(decoded, v);
      });
    }),
    { numRuns: 2000 },
  );
});

test('every encoding refuses its header alone, but never crashes on it', () => {
  for (const form of wireForms()) {
    for (const length of [form.minLength, Math.min(form.minLength + 8, form.maxLength)]) {
      const bytes = new Uint8Array(length);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, form.vendor === 0 ? form.type : 0xffff);
      view.setUint16(2, length);
      if (form.vendor !== 0) {
        view.setUint32(4, form.vendor);
        view.setUint16(8, form.type);
      }
      outcome(() => decodeActions(bytes, form.until));
      assert.equal(
        outcome(() => decodeActions(bytes.subarray(0, length - 8), form.until)),
        length === 8 ? 'read' : 'refused',
      );
    }
  }
});

/** Version, bytes, and the error that they are. Instructions where the name begins so. */
const BAD: readonly (readonly [OfVersion, string, string])[] = [
  [1, '0000 0008 0001', 'OFPBRC_BAD_LEN'],
  [1, '0000 0010 0001 0000', 'OFPBAC_BAD_LEN'],
  [1, '0000 000c 0001 0000 00000000 00000000', 'OFPBAC_BAD_LEN'],
  [1, '0063 0008 0000 0000', 'OFPBAC_BAD_TYPE'],
  [1, 'ffff 0008 00002320', 'OFPBAC_BAD_LEN'],
  [1, 'ffff 0010 12345678 0000 000000000000', 'OFPBAC_BAD_VENDOR'],
  [1, 'ffff 0010 00002320 ffff 000000000000', 'OFPBAC_BAD_VENDOR_TYPE'],
  [1, 'ffff 0010 00002320 00ff 000000000000', 'OFPBAC_BAD_VENDOR_TYPE'],
  [1, '0000 0008 ffff 0000', 'OFPBAC_BAD_OUT_PORT'],
  [4, '0000 0010 00010000 0000 000000000000', 'OFPBAC_BAD_OUT_PORT'],
  [1, '0001 0008 1000 0000', 'OFPBAC_BAD_ARGUMENT'],
  [1, '0002 0008 08 000000', 'OFPBAC_BAD_ARGUMENT'],
  [1, '0008 0008 01 000000', 'OFPBAC_BAD_ARGUMENT'],
  [4, '0011 0008 0800 0000', 'OFPBAC_BAD_ARGUMENT'],
  [4, '0013 0008 0800 0000', 'OFPBAC_BAD_ARGUMENT'],
  [4, '0019 0008 8000fe00', 'OFPBAC_BAD_SET_TYPE'],
  [4, '0019 0010 80000807 000102030405 0000', 'OFPBAC_BAD_SET_LEN'],
  [4, '0019 0010 80000004 00000001 00000000', 'OFPBAC_BAD_SET_ARGUMENT'],
  [4, '0019 0010 80000a02 0800 000000000000', 'OFPBAC_BAD_SET_ARGUMENT'],
  [4, '0019 0010 80000c02 0005 000000000000', 'OFPBAC_BAD_SET_ARGUMENT'],
  [4, '0019 0018 8000090c 000000001234 00000000ffff 00000000', 'OFPBAC_BAD_SET_MASK'],
  [6, '0019 0018 8000090c 000000011234 00000000ffff 00000000', 'OFPBMC_BAD_WILDCARDS'],
  [4, '0019 0008 80000806', 'OFPBMC_BAD_LEN'],
  [1, 'ffff 0018 00002320 0007 001f 00010004 0000000100000000', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0018 00002320 0007 005f 00010004 0000000000000000', 'OFPBAC_BAD_SET_LEN'],
  [1, 'ffff 0018 00002320 0006 0010 0000 0000 00000002 00000602', 'OFPBAC_BAD_SET_ARGUMENT'],
  [1, 'ffff 0018 00002320 0006 0000 0000 0000 00000002 00000802', 'OFPBAC_BAD_SET_LEN'],
  [1, 'ffff 0018 00002320 000f 0145 00010204 ffff 000000000001', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0018 00002320 0025 000000000001 0000 0008 0000 0000', 'NXBRC_MUST_BE_ZERO'],
  [1, 'ffff 0018 00002320 0025 000000000000 0009 0008 0000 0000', 'OFPBPC_BAD_TYPE'],
  [1, 'ffff 0018 00002320 0025 000000000000 0000 0004 0000 0000', 'OFPBPC_BAD_LEN'],
  [1, 'ffff 0018 00002320 0025 000000000000 0003 0009 0000 0000', 'OFPBPC_BAD_LEN'],
  [1, 'ffff 0010 00002320 0015 0001 00000000', 'OFPBAC_BAD_LEN'],
  [1, 'ffff 0010 00002320 000e 0001 05 000001', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0010 00002320 0022 05 05 00000001', 'NXBAC_BAD_CONJUNCTION'],
  [1, 'ffff 0010 00002320 0022 01 05 00000001 0000 0008 0001 0000', 'NXBAC_BAD_CONJUNCTION'],
  [1, 'ffff 0018 00002320 001d 0000 00000001 00000002 00000003', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0018 00002320 0023 0002 00000000 0000 ff 000000 0000', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0018 00002320 0023 0000 00010004 0007 ff 000000 0000', 'OFPBAC_BAD_SET_LEN'],
  [
    1,
    'ffff 0028 00002320 0023 0000 00000000 0000 ff 000000 0000 ffff 0010 00002320 0024 0000 0001 0000',
    'OFPBAC_BAD_ARGUMENT',
  ],
  [
    1,
    'ffff 0028 00002320 0023 0001 00000000 0000 ff 000000 0000 ffff 0010 00002320 0024 0000 0003 0000',
    'OFPBAC_BAD_ARGUMENT',
  ],
  [
    1,
    'ffff 0028 00002320 0023 0001 00000000 0000 ff 000000 0000 ffff 0010 00002320 0011 000000000000',
    'OFPBAC_BAD_ARGUMENT',
  ],
  [1, 'ffff 0010 00002320 0024 0000 0000 0000', 'OFPBAC_BAD_SET_ARGUMENT'],
  [1, 'ffff 0010 00002320 0027 0001 00000005', 'OFPBAC_BAD_ARGUMENT'],
  [1, 'ffff 0020 00002320 0016 000000000000 0000000000000001 ffffffffffffffff', 'OFPBIC_UNSUP_INST'],
  [4, 'ffff 0010 00002320 002e 0000 00018100', 'NXBAC_BAD_HEADER_TYPE'],
  [4, 'ffff 0018 00002320 002e 0000 0001894f 0004 07 05 01 000000', 'NXBAC_UNKNOWN_ED_PROP'],
  [4, 'ffff 0018 00002320 002e 0000 0001894f 0004 02 08 0000 01 01', 'NXBAC_BAD_ED_PROP'],
  [4, 'ffff 0018 00002320 002f 0000 0000fffe 0000000000000000', 'NXBAC_UNKNOWN_ED_PROP'],
  [4, 'inst 0007 0008 00000000', 'OFPBIC_UNKNOWN_INST'],
  [4, 'inst ffff 0008 00002320', 'OFPBIC_BAD_EXPERIMENTER'],
  [4, 'inst 0001 0010 01 000000 0000000000000000', 'OFPBIC_BAD_LEN'],
  [4, 'inst 0001 0004', 'OFPBIC_BAD_LEN'],
  [4, 'inst 0001 0000 01 000000', 'OFPBIC_BAD_LEN'],
  [4, 'inst 0001 0008 01 000000 0001 0008 02 000000', 'OFPBIC_DUP_INST'],
  [6, 'inst 0006 0008 00000001', 'OFPBIC_UNKNOWN_INST'],
  [4, 'inst 0003 0018 00000000 ffff 0010 00002320 0011 000000000000', 'OFPBAC_BAD_TYPE'],
];

test('bad actions are refused by the name that OpenFlow has for it', () => {
  for (const [v, text, ofperr] of BAD) {
    const instructions = text.startsWith('inst');
    const bytes = unhex(text.replace('inst', ''));
    assert.throws(
      () => (instructions ? decodeInstructions : decodeActions)(bytes, v),
      (error) => error instanceof OfError && error.ofperr === ofperr,
      `${text} in version ${v}: ${ofperr}`,
    );
  }
});

test('the order of instructions on the wire does not matter', () => {
  const bytes = unhex(
    '0001 0008 09 000000 0005 0008 00000000 0004 0018 00000000 0000 0010 00000001 ffff 000000000000',
  );
  assert.equal(formatActions(decodeInstructions(bytes, 4)), 'output:1,clear_actions,goto_table:9');
});

test('instructions that do nothing are left out', () => {
  assert.equal(encodeInstructions(parseInstructions('write_actions(drop)'), 4).length, 0);
  assert.equal(encodeInstructions(parseInstructions('note:'), 4).length, 8 + 16);
  assert.equal(encodeActions(parseInstructions('push_vlan:0x8100'), 1).length, 0);
});

test('lists nest as deep as texts may have them, and no deeper', () => {
  const nest = (depth: number): Uint8Array => {
    const bytes = new Uint8Array(16 * depth);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < depth; i++) {
      view.setUint16(16 * i, 0xffff);
      view.setUint16(16 * i + 2, 16 * (depth - i));
      view.setUint32(16 * i + 4, 0x2320);
      view.setUint16(16 * i + 8, 42);
    }
    return bytes;
  };
  const deepest = decodeActions(nest(MAX_DEPTH - 1), 4);
  assert.equal(hex(encodeActions(deepest, 4)), hex(nest(MAX_DEPTH - 1)));
  assert.throws(() => decodeActions(nest(4000), 4), { ofperr: 'OFPBAC_TOO_MANY' });
});

test('an action that would be too long is not written', () => {
  const data = new Uint8Array(0x10000);
  assert.throws(() => encodeActions([{ type: 'note', data }], 4), { ofperr: 'OFPBAC_BAD_LEN' });
});

test('debug actions are for switches in test mode', () => {
  const bytes = unhex('ffff 0010 00002320 00fe 000000000000');
  assert.equal(formatActions(decodeActions(bytes, 1, { debug: true })), 'debug_slow');
});

test('tunnel metadata is as long as its option', () => {
  const bytes = unhex('0019 0010 00015004 00000005 00000000');
  assert.equal(formatActions(decodeActions(bytes, 4)), 'set_field:0x5->tun_metadata0');
  const tunnelMetadata = new TunnelMetadataTable();
  assert.throws(() => decodeActions(bytes, 4, { tunnelMetadata }), { ofperr: 'NXFMFC_INVALID_TLV_FIELD' });
});
