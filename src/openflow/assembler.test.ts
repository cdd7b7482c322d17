import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestAssembler } from './assembler.ts';
import { encodeOne } from './codec.ts';
import { OfError } from './errors.ts';
import { OF10, OF13, OF14, type OfVersion } from './version.ts';

/** A part of a table features request without tables, or with `size` bytes of whatever. */
function part(xid: number, more: boolean, size = 0, version: OfVersion = OF13, type = 12): Uint8Array {
  const bytes = new Uint8Array(16 + size);
  const view = new DataView(bytes.buffer);
  bytes[0] = version;
  bytes[1] = 18;
  view.setUint16(2, bytes.length);
  view.setUint32(4, xid);
  view.setUint16(8, type);
  view.setUint16(10, more ? 1 : 0);
  return bytes;
}

const refuses = (name: string) => (error: unknown) => error instanceof OfError && error.ofperr === name;

describe('requests of several parts', () => {
  it('are given whole, parts that are empty left out', () => {
    const assembler = new RequestAssembler();
    const [a, b] = [part(1, true, 64), part(1, true, 128)];
    assert.deepEqual(assembler.push(a, 0), []);
    assert.deepEqual(assembler.push(part(1, true), 1), []);
    assert.deepEqual(assembler.push(part(2, false, 64), 2), [part(2, false, 64)]);
    assert.deepEqual(assembler.push(b, 3), []);
    assert.equal(assembler.pending, 1);
    assert.deepEqual(assembler.push(part(1, false), 4), [a, b]);
    assert.equal(assembler.pending, 0);
  });

  it('of which nothing has a body are one without', () => {
    const assembler = new RequestAssembler();
    assert.deepEqual(assembler.push(part(1, true), 0), []);
    assert.deepEqual(assembler.push(part(1, false), 0), [part(1, false)]);
  });

  it('are refused where a body had to be', () => {
    const assembler = new RequestAssembler();
    const PORT_STATS = 4;
    assert.deepEqual(assembler.push(part(1, true, 0, OF13, PORT_STATS), 0), []);
    assert.throws(() => assembler.push(part(1, false, 0, OF13, PORT_STATS), 0), refuses('OFPBRC_BAD_LEN'));
    assert.equal(assembler.pending, 0);
  });

  it('are refused where parts differ in type', () => {
    const assembler = new RequestAssembler();
    assembler.push(part(1, true), 0);
    assert.throws(() => assembler.push(part(1, false, 0, OF13, 0), 0), refuses('OFPBRC_BAD_STAT'));
    assert.equal(assembler.pending, 0);
  });

  it('are refused above 4 MB', () => {
    const assembler = new RequestAssembler();
    assert.throws(() => {
      for (let i = 0; i < 70; i++) assembler.push(part(1, true, 64_000), 0);
    }, refuses('OFPBRC_MULTIPART_BUFFER_OVERFLOW'));
    assert.equal(assembler.pending, 0);
  });

  it('are bounded in number', () => {
    const assembler = new RequestAssembler();
    assert.throws(() => {
      for (let xid = 0; xid < 1000; xid++) assembler.push(part(xid, true), 0);
    }, refuses('OFPBRC_MULTIPART_BUFFER_OVERFLOW'));
    assert.equal(assembler.pending, 64);
  });

  it('are forgotten after a second without a further part', () => {
    const assembler = new RequestAssembler();
    assert.equal(assembler.nextDeadline, null);
    const first = part(1, true, 64);
    assembler.push(first, 0);
    assembler.push(part(1, true, 64), 900);
    assert.equal(assembler.nextDeadline, 1900);
    assert.deepEqual(assembler.expire(1899), []);
    const [dropped] = assembler.expire(1900);
    assert.equal(dropped.error.ofperr, 'OFPBRC_MULTIPART_REQUEST_TIMEOUT');
    assert.deepEqual(dropped.request, first);
    assert.equal(assembler.pending, 0);
  });

  it('are only requests of several parts: everything else passes', () => {
    const assembler = new RequestAssembler();
    const others = [
      encodeOne({ kind: 'barrier_request', version: OF14, xid: 1 }),
      encodeOne({ kind: 'port_desc_reply', version: OF13, xid: 1, more: true, ports: [] }),
      part(1, true, 0, OF10),
      part(1, true, 0, OF13, 0x7777),
    ];
    for (const other of others) assert.deepEqual(assembler.push(other, 0), [other]);
    assert.equal(assembler.pending, 0);
  });
});
