import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BFD_ADMIN_DOWN,
  BFD_CONTROL_PLANE_INDEPENDENT,
  BFD_DEMAND,
  BFD_DIAG_NEIGHBOR_DOWN,
  BFD_FINAL,
  BFD_HEADER,
  BFD_INIT,
  BFD_POLL,
  BFD_PORT,
  BFD_UP,
  type Bfd,
  bfdLength,
  emitBfd,
  parseBfd,
} from './bfd.ts';
import { fromHex, toHex } from './bytes.ts';
import { eth, ipv4, udp } from './make.ts';
import { Malformed } from './malformed.ts';
import { buildPacket, dissectPacket } from './packet.ts';
import { writePcap } from './pcap.ts';

const UP: Bfd = {
  layer: 'bfd',
  diagnostic: BFD_DIAG_NEIGHBOR_DOWN,
  state: BFD_UP,
  flags: BFD_POLL | BFD_CONTROL_PLANE_INDEPENDENT,
  detectMult: 3,
  myDiscriminator: 0x01020304,
  yourDiscriminator: 0xfffefdfc,
  desiredMinTx: 100_000,
  requiredMinRx: 1_000_000,
  requiredMinEchoRx: 7,
};
const UP_HEX = '23e80318 01020304 fffefdfc 000186a0 000f4240 00000007';

const bytesOf = (value: Bfd): Uint8Array => {
  const bytes = new Uint8Array(bfdLength(value));
  emitBfd(value, bytes, 0);
  return bytes;
};

const anyBfd: fc.Arbitrary<Bfd> = fc
  .record({
    layer: fc.constant('bfd' as const),
    diagnostic: fc.nat(31),
    state: fc.integer({ min: BFD_ADMIN_DOWN, max: BFD_UP }),
    flags: fc.subarray([BFD_POLL, BFD_FINAL, BFD_CONTROL_PLANE_INDEPENDENT, BFD_DEMAND]),
    detectMult: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    yourDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    desiredMinTx: fc.nat(0xffffffff),
    requiredMinRx: fc.nat(0xffffffff),
    requiredMinEchoRx: fc.nat(0xffffffff),
    auth: fc.option(fc.uint8Array({ minLength: 2, maxLength: 231 })),
  })
  .map(({ auth, flags, ...rest }) => ({
    ...rest,
    flags: flags.reduce((all, bit) => all | bit, 0),
    ...(auth === null ? {} : { auth }),
  }));

test('a control packet is the bytes of RFC 5880', () => {
  assert.equal(toHex(bytesOf(UP)), UP_HEX.replaceAll(' ', ''));
  const parsed = parseBfd(fromHex(UP_HEX)!, 0, BFD_HEADER);
  assert.ok(!(parsed instanceof Malformed));
  assert.deepEqual(parsed, { value: UP, next: BFD_HEADER, end: BFD_HEADER });
});

test('an authentication section is carried, not read', () => {
  const bytes = fromHex('20440522 00000001 00000000 000f4240 000f4240 00000000 010a0061626364656667')!;
  const parsed = parseBfd(bytes, 0, bytes.length);
  assert.ok(!(parsed instanceof Malformed));
  assert.equal(toHex(parsed.value.auth!), '010a0061626364656667');
  assert.deepEqual(bytesOf(parsed.value), bytes);
});

test('there and back', () => {
  fc.assert(
    fc.property(anyBfd, (value) => {
      const bytes = bytesOf(value);
      const parsed = parseBfd(bytes, 0, bytes.length);
      assert.ok(!(parsed instanceof Malformed), String(parsed));
      assert.deepEqual(parsed.value, value);
      for (let end = 0; end < bytes.length; end++) assert.ok(parseBfd(bytes, 0, end) instanceof Malformed);
    }),
  );
});

test('what RFC 5880 6.8.6 has discarded is refused, with the reason', () => {
  const refusal = (at: number, byte: number): string => {
    const bytes = fromHex(UP_HEX)!;
    bytes[at] = byte;
    return String(parseBfd(bytes, 0, bytes.length));
  };
  assert.match(refusal(0, 0x43), /version 2/);
  assert.match(refusal(1, 0xc1), /multipoint/);
  assert.match(refusal(1, 0xc4), /length 24 is below 26/);
  assert.match(refusal(2, 0), /multiplier is 0/);
  assert.match(refusal(3, 23), /length 23 is below 24/);
  assert.match(refusal(3, 25), /needs 25 bytes, has 24/);
  const without = (at: number, state: number): Malformed | object => {
    const bytes = fromHex(UP_HEX)!;
    bytes.fill(0, at, at + 4);
    bytes[1] = state << 6;
    return parseBfd(bytes, 0, bytes.length);
  };
  assert.match(String(without(4, BFD_UP)), /discriminator is 0/);
  assert.match(String(without(8, BFD_INIT)), /discriminator is 0/);
  assert.ok(!(without(8, BFD_ADMIN_DOWN) instanceof Malformed));
});

test('random bytes never give anything but a packet or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(0xff), (bytes, first) => {
      if (bytes.length > 0) bytes[0] = 0x20 | (first & 0x1f);
      const parsed = parseBfd(bytes, 0, bytes.length);
      if (parsed instanceof Malformed) return;
      assert.ok(parsed.next <= bytes.length);
      assert.deepEqual(bytesOf(parsed.value), bytes.slice(0, parsed.next));
    }),
    { numRuns: 3000 },
  );
});

const noTshark = spawnSync('tshark', ['--version']).status === 0 ? false : 'tshark is not installed';

test('tshark reads what was written', { skip: noTshark }, () => {
  const values = fc.sample(anyBfd, 100);
  const dir = mkdtempSync(join(tmpdir(), 'weft-bfd-'));
  try {
    const packets = values.map((value) =>
      buildPacket([
        eth('02:00:00:00:00:01', '00:23:20:00:00:01'),
        ipv4('169.254.1.1', '169.254.1.0', { ttl: 255 }),
        udp(49152, BFD_PORT),
        value,
      ]),
    );
    packets.forEach((packet, i) => {
      assert.deepEqual(dissectPacket(packet, { tunnels: true }).layers.at(-1), values[i]);
    });
    const file = join(dir, 'bfd.pcap');
    writeFileSync(file, writePcap(packets));
    const fields: Readonly<Record<string, (value: Bfd) => number>> = {
      'bfd.version': () => 1,
      'bfd.diag': (value) => value.diagnostic,
      'bfd.sta': (value) => value.state,
      'bfd.flags.p': (value) => (value.flags & BFD_POLL) / BFD_POLL,
      'bfd.flags.f': (value) => (value.flags & BFD_FINAL) / BFD_FINAL,
      'bfd.flags.d': (value) => (value.flags & BFD_DEMAND) / BFD_DEMAND,
      'bfd.flags.a': (value) => (value.auth === undefined ? 0 : 1),
      'bfd.detect_time_multiplier': (value) => value.detectMult,
      'bfd.message_length': bfdLength,
      'bfd.my_discriminator': (value) => value.myDiscriminator,
      'bfd.your_discriminator': (value) => value.yourDiscriminator,
      'bfd.desired_min_tx_interval': (value) => value.desiredMinTx,
      'bfd.required_min_rx_interval': (value) => value.requiredMinRx,
      'bfd.required_min_echo_interval': (value) => value.requiredMinEchoRx,
    };
    const names = Object.keys(fields);
    const args = ['-r', file, '-T', 'fields', '-E', 'separator=;', ...names.flatMap((name) => ['-e', name])];
    const lines = spawnSync('tshark', args, { encoding: 'utf8' }).stdout.trimEnd().split('\n');
    assert.equal(lines.length, values.length);
    lines.forEach((line, i) => {
      const read = line.split(';').map(Number);
      assert.deepEqual(
        read,
        names.map((name) => fields[name](values[i])),
        line,
      );
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
