import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Flow, newFlow, W_TUN_FLAGS, W_TUN_GBP, W_TUN_ID } from '../../flow/layout.ts';
import { fromHex, toHex } from '../../wire/bytes.ts';
import { parseGeneve } from '../../wire/geneve.ts';
import { parseGre } from '../../wire/gre.ts';
import { Malformed } from '../../wire/malformed.ts';
import { parseVxlan } from '../../wire/vxlan.ts';
import { formatKey, parseKey } from '../text/index.ts';
import { finishGre, readTunnelHeader, type TunnelProtocol, writeTunnelHeader } from './tunnel-header.ts';

const ADDRESSES = 'src=1.1.1.1,dst=2.2.2.2,ttl=64';
const keyOf = (tunnel: string): Flow =>
  parseKey(`tunnel(${tunnel},${ADDRESSES}),in_port(1),eth_type(0x1234)`).key;
const INNER = 'ffffffffffff020000000001123400';

/** [protocol, tunnel, header with an empty frame behind it] */
const ROWS: readonly (readonly [TunnelProtocol, string, string])[] = [
  ['vxlan', 'tun_id=0x123456,flags(key)', '0800000012345600'],
  ['vxlan', 'tun_id=0x1,vxlan(gbp(id=1286,flags=0x48)),flags(key)', '8848050600000100'],
  ['geneve', 'tun_id=0xffffff,flags(key)', '00006558ffffff00'],
  ['geneve', 'tun_id=0x1,flags(oam|key)', '0080655800000100'],
  [
    'geneve',
    'tun_id=0x7,geneve({class=0x102,type=0x80,len=4,0x10002}{class=0x103,type=0,len=0}),flags(key)',
    '034065580000070001028001000100020103000',
  ],
  ['gre', 'flags()', '00006558'],
  ['gre', 'tun_id=0xdeadbeef,flags(key)', '20006558deadbeef'],
];

function read(protocol: TunnelProtocol, bytes: Uint8Array, gbp: boolean): { inner: number; key: Flow } {
  const key = newFlow();
  return { inner: readTunnelHeader(protocol, bytes, 0, bytes.length, key, gbp), key };
}

test('headers are written and read byte for byte', () => {
  for (const [protocol, tunnel, hex] of ROWS) {
    const digits = hex.length % 2 === 0 ? hex : `${hex}0`;
    const key = keyOf(tunnel);
    const bytes = new Uint8Array(400);
    const length = writeTunnelHeader(protocol, bytes, 5, key);
    assert.equal(toHex(bytes.subarray(5, 5 + length)), digits, tunnel);
    const back = read(protocol, fromHex(digits + INNER) ?? bytes, tunnel.includes('gbp'));
    assert.equal(back.inner, digits.length / 2);
    for (const word of [W_TUN_ID, W_TUN_ID + 1, W_TUN_GBP]) assert.equal(back.key[word], key[word], tunnel);
    assert.deepEqual(back.key.subarray(98), key.subarray(98), tunnel);
    assert.equal(back.key[W_TUN_FLAGS] >>> 16, key[W_TUN_FLAGS] >>> 16, formatKey(key, null));
  }
});

test('a header that cannot be taken is refused', () => {
  const rows: [TunnelProtocol, string, string][] = [
    ['vxlan', '08000000000001', 'it is cut'],
    ['vxlan', '0000000000000100', 'the VNI is not valid'],
    ['vxlan', '0c00000000000100', 'a flag that changes what follows'],
    ['vxlan', '8800000000000100', 'a group policy that nobody asked for'],
    ['geneve', '40006558000001', 'it is cut'],
    ['geneve', '4000655800000100', 'another version'],
    ['geneve', '0000080000000100', 'no Ethernet inside'],
    ['geneve', '3f00655800000100', 'options beyond the end'],
    ['gre', '000065', 'it is cut'],
    ['gre', '00010800', 'no Ethernet inside'],
    ['gre', '40006558', 'routing'],
    ['gre', '20016558deadbeef', 'another version'],
    ['gre', '20006558dead', 'the key is cut'],
    ['gre', '80006558123400000000', 'a wrong checksum'],
  ];
  for (const [protocol, hex, why] of rows) {
    assert.equal(read(protocol, fromHex(hex) ?? new Uint8Array(0), false).inner, -1, why);
  }
});

test('a GRE checksum is over all that follows, and a sequence number is passed over', () => {
  const key = keyOf('tun_id=0x1,flags(csum|key)');
  const bytes = new Uint8Array(64);
  const at = writeTunnelHeader('gre', bytes, 0, key);
  bytes.set(fromHex(INNER) ?? [], at);
  finishGre(bytes, 0, at + 15);
  assert.equal(toHex(bytes.subarray(0, at)), 'a0006558e670000000000001');
  const back = read('gre', bytes.subarray(0, at + 15), false);
  assert.deepEqual([back.inner, back.key[W_TUN_FLAGS] >>> 16], [12, 0xc]);
  bytes[at] ^= 1;
  assert.equal(read('gre', bytes.subarray(0, at + 15), false).inner, -1);
  const numbered = fromHex(`3000655800000009000000ff${INNER}`) ?? bytes;
  assert.deepEqual(
    [read('gre', numbered, false).inner, read('gre', numbered, false).key[W_TUN_ID + 1]],
    [12, 9],
  );
});

test('a key that was read before leaves nothing behind', () => {
  const key = newFlow();
  const long = fromHex(ROWS[4][2].padEnd(40, '0')) ?? new Uint8Array(0);
  assert.ok(readTunnelHeader('geneve', long, 0, long.length, key, false) > 0);
  const short = fromHex(ROWS[2][2]) ?? long;
  readTunnelHeader('geneve', short, 0, short.length, key, false);
  assert.ok(key.subarray(98).every((word) => word === 0));
});

test('what is read agrees with the parsers that make values, whatever the bytes', () => {
  const start: Record<TunnelProtocol, number[]> = {
    vxlan: [8],
    geneve: [1, 0, 0x65, 0x58],
    gre: [0x20, 0, 0x65, 0x58],
  };
  fc.assert(
    fc.property(
      fc.constantFrom<TunnelProtocol>('vxlan', 'geneve', 'gre'),
      fc.uint8Array({ maxLength: 40 }),
      fc.boolean(),
      (protocol, tail, likely) => {
        const bytes = likely ? Uint8Array.of(...start[protocol], ...tail) : tail;
        const { inner, key } = read(protocol, bytes, false);
        if (inner < 0) return;
        const parse = { vxlan: parseVxlan, geneve: parseGeneve, gre: parseGre }[protocol];
        const parsed = parse(bytes, 0, bytes.length);
        // Options are split by the switch, which knows what to do with those that can't be.
        if (parsed instanceof Malformed) return assert.equal(protocol, 'geneve');
        assert.equal(parsed.next, inner);
        const { value } = parsed;
        assert.equal(key[W_TUN_ID + 1], value.layer === 'gre' ? (value.key ?? 0) : value.vni);
      },
    ),
  );
});
