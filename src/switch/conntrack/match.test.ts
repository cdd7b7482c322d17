import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ModuleLog, nullLogger } from '../../base/log.ts';
import { DatapathConnections } from '../../datapath/conntrack/connections.ts';
import { anyConnection, type ConnectionMatch, flushConnections, flushZone } from './match.ts';

/** What the debug log says while `work` flushes connections of a tracker that has none. */
function told(work: (target: Parameters<typeof flushZone>[0]) => void): string[] {
  const lines: string[] = [];
  const log: ModuleLog = {
    ...nullLogger.module('ct_dpif'),
    dbg: (message) => void lines.push(typeof message === 'string' ? message : message()),
  };
  const connections = new DatapathConnections(({ kind }) =>
    kind === 'dump' ? { records: new Uint32Array(0), next: -1 } : false,
  );
  work({ datapath: { type: 'netdev@x', connections }, log });
  return lines;
}

const match = (change: (m: ConnectionMatch) => void): ConnectionMatch => {
  const made = anyConnection();
  change(made);
  return made;
};

test('the log says which connections are forgotten, in the words of Open vSwitch', () => {
  const lines = told((target) => {
    flushZone(target, 123);
    flushConnections(target, null, anyConnection());
    flushConnections(target, 7, anyConnection());
    flushConnections(
      target,
      5,
      match((m) => {
        Object.assign(m, { version: 4, protocol: 17 });
        Object.assign(m.orig, { src: Uint8Array.of(10, 1, 1, 1), srcPort: 1 });
      }),
    );
    flushConnections(
      target,
      null,
      match((m) => {
        Object.assign(m, { version: 6, protocol: 58 });
        Object.assign(m.reply, { dst: new Uint8Array(16).fill(1, 15), icmpId: 9, icmpType: 128 });
      }),
    );
  });
  assert.deepEqual(lines, [
    'netdev@x: ct_flush: zone 123',
    'netdev@x: ct_flush: <all>',
    'netdev@x: ct_flush: zone 7',
    "netdev@x: ct_flush: zone=5 'ct_nw_src=10.1.1.1,ct_nw_dst=::,ct_tp_src=1,ct_tp_dst=0,ct_nw_proto=17' " +
      "'ct_nw_src=::,ct_nw_dst=::,ct_tp_src=0,ct_tp_dst=0'",
    "netdev@x: ct_flush: zone=0 'ct_ipv6_src=::,ct_ipv6_dst=::,icmp_id=0,icmp_type=0,icmp_code=0,ct_nw_proto=58' " +
      "'ct_ipv6_src=::,ct_ipv6_dst=::1,icmp_id=9,icmp_type=128,icmp_code=0'",
  ]);
});
