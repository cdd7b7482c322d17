import { WeftError } from '../../base/errors.ts';
import { OFPP_LOCAL } from '../../openflow/constants.ts';
import type { Bridge } from '../bridge/bridge.ts';
import { parseMac } from '../bridge/bridge.ts';
import type { Switch } from '../bridge/manager.ts';
import type { MacEntry } from '../ofproto/mac-table.ts';

function bridgeNamed(vswitch: Switch, name: string): Bridge {
  const bridge = vswitch.bridge(name);
  if (bridge === undefined) throw new WeftError('no-such-bridge', 'no such bridge');
  return bridge;
}

/** `fdb/show BRIDGE`: learned and static stations, most lately used first. */
export function fdbShow(vswitch: Switch, name: string): string {
  const { ofproto } = bridgeNamed(vswitch, name);
  let text = ' port  VLAN  MAC                Age\n';
  for (const entry of ofproto.macs.entries()) {
    const number = portText(entry);
    const age =
      entry.expires === Number.POSITIVE_INFINITY ? 'static' : String(ofproto.macs.age(entry)).padStart(3);
    text += `${number.padStart(5)}  ${String(entry.vlan).padStart(4)}  ${macText(entry.mac)}  ${age}\n`;
  }
  return text;
}

/** `fdb/flush [BRIDGE]`. */
export function fdbFlush(vswitch: Switch, name: string | undefined): string {
  const bridges = name === undefined ? [...vswitch.bridges()] : [bridgeNamed(vswitch, name)];
  for (const bridge of bridges) bridge.ofproto.macs.flush();
  return 'table successfully flushed\n';
}

/** `fdb/add BRIDGE PORT VLAN MAC`: a station that neither ages nor moves. */
export function fdbAdd(vswitch: Switch, args: readonly string[]): string {
  const { ofproto } = bridgeNamed(vswitch, args[0]);
  const bundle = ofproto.portByName(args[1])?.bundle ?? ofproto.bundle(args[1]);
  if (bundle === undefined || bundle === null) throw new WeftError('no-such-port', 'no such port');
  const { vlan, mac } = vlanAndMac(args[2], args[3]);
  const old = ofproto.macs.lookup(mac, vlan);
  if (!ofproto.macs.addStatic(mac, vlan, bundle)) return '';
  if (old === null) return '';
  const kind = old.expires === Number.POSITIVE_INFINITY ? 'static' : 'dynamic';
  return `Overriding already existing ${kind} entry on ${portText(old)}\n`;
}

/** `fdb/del BRIDGE VLAN MAC`. */
export function fdbDelete(vswitch: Switch, args: readonly string[]): string {
  const { ofproto } = bridgeNamed(vswitch, args[0]);
  const { vlan, mac } = vlanAndMac(args[1], args[2]);
  if (!ofproto.macs.removeStatic(mac, vlan))
    throw new WeftError('no-such-entry', 'static MAC entry not found');
  return '';
}

/** The OpenFlow port that a station is behind. */
function portText({ bundle }: MacEntry): string {
  const port = bundle.ports[0];
  return port === undefined ? '' : port.ofPort === OFPP_LOCAL ? 'LOCAL' : String(port.ofPort);
}

function vlanAndMac(vlanText: string, macText: string): { vlan: number; mac: number } {
  const vlan = Number(vlanText);
  if (!/^\d+$/.test(vlanText) || vlan > 4095) throw new WeftError('bad-vlan', 'vlan: invalid vlan');
  const bytes = parseMac(macText);
  if (bytes === null) throw new WeftError('bad-mac', 'Invalid MAC address');
  return { vlan, mac: bytes.reduce((all, byte) => all * 256 + byte, 0) };
}

/** `fdb/stats-show BRIDGE`. */
export function fdbStats(vswitch: Switch, name: string): string {
  const { ofproto } = bridgeNamed(vswitch, name);
  const { macs } = ofproto;
  return (
    `Statistics for bridge "${name}":\n` +
    `  Current/maximum MAC entries in the table: ${macs.size}/${macs.limit}\n` +
    `  Current static MAC entries in the table : ${macs.staticCount}\n` +
    `  Total number of learned MAC entries     : ${macs.stats.learned}\n` +
    `  Total number of expired MAC entries     : ${macs.stats.expired}\n` +
    `  Total number of evicted MAC entries     : ${macs.stats.evicted}\n` +
    `  Total number of port moved MAC entries  : ${macs.stats.moved}\n`
  );
}

/** `fdb/stats-clear [BRIDGE]`. */
export function fdbStatsClear(vswitch: Switch, name: string | undefined): string {
  const bridges = name === undefined ? [...vswitch.bridges()] : [bridgeNamed(vswitch, name)];
  for (const bridge of bridges)
    Object.assign(bridge.ofproto.macs.stats, { learned: 0, expired: 0, evicted: 0, moved: 0 });
  return 'statistics successfully cleared\n';
}

function macText(mac: number): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/(..)(?!$)/g, '$1:');
}
