import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as F from '../../flow/layout.ts';
import type { DpAction, SetGroup } from '../types.ts';
import * as O from './action-ops.ts';
import { type EncodedActions, encodeActions } from './encode-actions.ts';

const TUNNEL = 8;
const out = (port: number): DpAction => ({ type: 'output', port });
const set = (group: SetGroup, word: number, value = 1, mask = 0xffffffff): DpAction => ({
  type: 'set',
  group,
  words: [{ word, value, mask }],
});
const up: DpAction = { type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason: 'lacp' } };
const drop: DpAction = { type: 'drop', reason: 'test' };
const recirc: DpAction = { type: 'recirc', id: 5 };

const encode = (actions: readonly DpAction[], branches: boolean): EncodedActions =>
  encodeActions(actions, { cookie: () => 77, isTunnel: (port) => port === TUNNEL, branches });

/** A program as a list of [code, operands]: ports of an output, the target of what skips, else A. */
function program(actions: readonly DpAction[], branches = false): (readonly number[])[] {
  const encoded = encode(actions, branches);
  assert.equal(encoded.kind, 'program', JSON.stringify(encoded));
  const bytes = (encoded as Extract<EncodedActions, { kind: 'program' }>).bytes;
  assert.ok(bytes.length <= 512);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ops: (readonly number[])[] = [];
  for (let at = 0; at < bytes.length; at += O.UNIT_SIZE * O.unitsOf(bytes[at])) {
    const code = bytes[at];
    const half = (i: number): number => view.getUint16(at + O.O_TARGET + 2 * i, true);
    if (code === O.OP_OUTPUT)
      ops.push([code, ...Array.from({ length: bytes[at + O.O_FLAGS] }, (_, i) => half(i))]);
    else ops.push([code, half(0) !== 0 ? half(0) : view.getUint32(at + O.O_A, true)]);
  }
  return ops;
}

test('lists that need no program are told by their kind', () => {
  assert.deepEqual(encode([], false), { kind: 'drop', explicit: false });
  assert.deepEqual(encode([drop], false), { kind: 'drop', explicit: true });
  assert.deepEqual(encode([drop, out(1)], false), { kind: 'drop', explicit: true });
  assert.deepEqual(encode([out(3)], false), { kind: 'output', port: 3 });
  assert.deepEqual(encode([out(TUNNEL)], false), { kind: 'output', port: TUNNEL });
});

test('the last output ends the packet, those before it send copies', () => {
  assert.deepEqual(program([out(1), out(2)]), [
    [O.OP_OUTPUT, 1],
    [O.OP_FINAL, 2],
  ]);
  assert.deepEqual(program([out(1), up]), [
    [O.OP_OUTPUT, 1],
    [O.OP_USERSPACE, 77],
  ]);
});

test('an output into a tunnel goes behind the plain outputs that follow it', () => {
  assert.deepEqual(program([set('tunnel', F.W_TUN_ID + 1, 9), out(TUNNEL), out(1), out(2)]), [
    [O.OP_PUT_TUNNEL, F.W_TUN_ID + 1],
    [O.OP_OUTPUT, 1, 2],
    [O.OP_FINAL, TUNNEL],
  ]);
});

test('the last branch ends the packet itself, and one that changes nothing may stand anywhere', () => {
  assert.deepEqual(program([out(1), { type: 'clone', actions: [{ type: 'pop_vlan' }, out(2)] }]), [
    [O.OP_OUTPUT, 1],
    [O.OP_POP_VLAN, 0],
    [O.OP_FINAL, 2],
  ]);
  assert.deepEqual(program([{ type: 'clone', actions: [out(2)] }, { type: 'pop_vlan' }, out(1)]), [
    [O.OP_OUTPUT, 2],
    [O.OP_POP_VLAN, 0],
    [O.OP_FINAL, 1],
  ]);
});

test('a drop in a branch ends the branch only', () => {
  assert.deepEqual(program([{ type: 'clone', actions: [drop, out(2)] }, out(1)]), [
    [O.OP_COUNT_DROP, 0],
    [O.OP_SKIP, 2],
    [O.OP_FINAL, 1],
  ]);
});

test('with copies that do something of their own, fewer lists are refused', () => {
  const pop: DpAction = { type: 'pop_vlan' };
  assert.deepEqual(program([{ type: 'clone', actions: [pop, out(2)] }, out(1)], true), [
    [O.OP_BRANCH, 4],
    [O.OP_POP_VLAN, 0],
    [O.OP_FINAL, 2],
    [O.OP_END, 0],
    [O.OP_FINAL, 1],
  ]);
  assert.deepEqual(program([recirc, out(1)], true), [
    [O.OP_BRANCH, 3],
    [O.OP_RECIRC, 5],
    [O.OP_END, 0],
    [O.OP_FINAL, 1],
  ]);
  assert.deepEqual(program([out(TUNNEL), out(TUNNEL)], true), [
    [O.OP_OUTPUT, TUNNEL],
    [O.OP_FINAL, TUNNEL],
  ]);
  assert.deepEqual(program([{ type: 'trunc', maxLen: 200 }, out(2), out(1)], true), [
    [O.OP_TRUNC, 200],
    [O.OP_OUTPUT, 2],
    [O.OP_FINAL, 1],
  ]);
  for (const [why, ...actions] of [
    [/less than 128/, { type: 'trunc', maxLen: 64 }, out(1)],
    [/trunc of no output/, { type: 'trunc', maxLen: 200 }, pop, out(1)],
  ] as const) {
    const encoded = encode(actions, true);
    assert.equal(encoded.kind, 'up');
    assert.match((encoded as { why: string }).why, why);
  }
});

test('many ports take few operations', () => {
  const ports = Array.from({ length: 100 }, (_, i) => 100 + i);
  const ops = program(ports.map(out));
  assert.deepEqual(
    ops.flatMap(([, ...of]) => of),
    ports,
  );
  assert.equal(ops.length, 16);
});

test('what a program could not do as the userspace datapath does it is refused, and says why', () => {
  const ct: DpAction = {
    type: 'ct',
    commit: false,
    force: false,
    zone: 0,
    mark: null,
    label: null,
    helper: '',
    nat: null,
  };
  let deep: DpAction[] = [out(1)];
  for (let i = 0; i < 20; i++) deep = [{ type: 'clone', actions: deep }];
  const cases: readonly (readonly [RegExp, readonly DpAction[]])[] = [
    [/set of sctp/, [set('sctp', F.W_TP), out(1)]],
    [/set of nsh/, [set('nsh', F.W_NSH), out(1)]],
    [/discovery options/, [set('nd', F.W_ARP_HA), out(1)]],
    [/undone/, [{ type: 'clone', actions: [{ type: 'pop_vlan' }, out(2)] }, out(1)]],
    [/undone/, [{ type: 'sample', probability: 5, actions: [recirc] }, out(1)]],
    [/recirculation that is not last/, [recirc, out(1)]],
    [/action ct$/, [ct, recirc]],
    [/action meter/, [{ type: 'meter', meter: 1 }, out(1)]],
    [/action push_eth/, [{ type: 'push_eth', dst: 1n, src: 2n }, out(1)]],
    [/action pop_eth/, [{ type: 'pop_eth' }, out(1)]],
    [/action trunc/, [{ type: 'trunc', maxLen: 164 }, out(2), out(1)]],
    [/tunnel that is not the last/, [out(TUNNEL), out(TUNNEL)]],
    [/tunnel that is not the last/, [out(TUNNEL), { type: 'pop_vlan' }, out(1)]],
    [/room/, Array.from({ length: 240 }, (_, i) => out(i))],
    [/too deep/, [...deep, out(1)]],
    [/TPID/, [{ type: 'push_vlan', tpid: 0x9100, tci: 0x1001 }, out(1)]],
    [/uncovers a tag/, [{ type: 'pop_mpls', ethertype: 0x8100 }, out(1)]],
    [/headers moved/, [{ type: 'pop_vlan' }, { type: 'hash', algorithm: 0, basis: 0 }, recirc]],
    [/unknown hash/, [{ type: 'hash', algorithm: 2, basis: 0 }, recirc]],
  ];
  for (const [why, actions] of cases) {
    const encoded = encode(actions, false);
    assert.equal(
      encoded.kind,
      'up',
      JSON.stringify(actions, (_, v) => (typeof v === 'bigint' ? `${v}` : v)),
    );
    assert.match((encoded as { why: string }).why, why);
  }
});
