import { bundle } from './bundle.ts';
import { checkPktLarger } from './check-pkt-larger.ts';
import { clone } from './clone.ts';
import type { ActionCodec, WireForm } from './codec.ts';
import { conjunction } from './conjunction.ts';
import { controller } from './controller.ts';
import { ct } from './ct.ts';
import { decap, encap } from './encap.ts';
import { enqueue } from './enqueue.ts';
import { setEthDst, setEthSrc } from './eth.ts';
import { finTimeout } from './fin-timeout.ts';
import { group } from './group.ts';
import { clearActions, gotoTable, meter, writeActions, writeMetadata } from './instructions.ts';
import { setIpDscp, setIpEcn, setIpTtl, setIpv4Dst, setIpv4Src } from './ip.ts';
import { setL4Dst, setL4Src } from './l4.ts';
import { learn } from './learn.ts';
import { regMove } from './move.ts';
import { decMplsTtl, popMpls, pushMpls, setMplsLabel, setMplsTc, setMplsTtl } from './mpls.ts';
import { multipath } from './multipath.ts';
import { nat } from './nat.ts';
import { note } from './note.ts';
import { output, outputReg, outputTrunc } from './output.ts';
import { ctClear, debugRecirc, debugSlow, decNshTtl, exit } from './plain.ts';
import { popQueue, setQueue } from './queue.ts';
import { resubmit } from './resubmit.ts';
import { sample } from './sample.ts';
import { setField } from './set-field.ts';
import { stackPop, stackPush } from './stack.ts';
import { decTtl } from './ttl.ts';
import { deleteField, setTunnel } from './tunnel.ts';
import type { ActionType } from './types.ts';
import { unrollXlate } from './unroll.ts';
import { pushVlan, setVlanPcp, setVlanVid, stripVlan } from './vlan.ts';

/** Every action, by type. The type system sees to it that none is missing. */
const CODECS: Readonly<Record<ActionType, ActionCodec>> = Object.freeze({
  output,
  output_reg: outputReg,
  output_trunc: outputTrunc,
  controller,
  enqueue,
  group,
  bundle,
  set_field: setField,
  reg_move: regMove,
  stack_push: stackPush,
  stack_pop: stackPop,
  set_vlan_vid: setVlanVid,
  set_vlan_pcp: setVlanPcp,
  strip_vlan: stripVlan,
  push_vlan: pushVlan,
  set_eth_src: setEthSrc,
  set_eth_dst: setEthDst,
  set_ipv4_src: setIpv4Src,
  set_ipv4_dst: setIpv4Dst,
  set_ip_dscp: setIpDscp,
  set_ip_ecn: setIpEcn,
  set_ip_ttl: setIpTtl,
  set_l4_src_port: setL4Src,
  set_l4_dst_port: setL4Dst,
  dec_ttl: decTtl,
  set_mpls_label: setMplsLabel,
  set_mpls_tc: setMplsTc,
  set_mpls_ttl: setMplsTtl,
  dec_mpls_ttl: decMplsTtl,
  dec_nsh_ttl: decNshTtl,
  push_mpls: pushMpls,
  pop_mpls: popMpls,
  set_tunnel: setTunnel,
  set_queue: setQueue,
  pop_queue: popQueue,
  fin_timeout: finTimeout,
  resubmit,
  learn,
  conjunction,
  multipath,
  note,
  exit,
  sample,
  unroll_xlate: unrollXlate,
  ct,
  ct_clear: ctClear,
  nat,
  clone,
  check_pkt_larger: checkPktLarger,
  delete_field: deleteField,
  encap,
  decap,
  debug_recirc: debugRecirc,
  debug_slow: debugSlow,
  meter,
  clear_actions: clearActions,
  write_actions: writeActions,
  write_metadata: writeMetadata,
  goto_table: gotoTable,
});

const ALL: readonly ActionCodec[] = Object.values(CODECS);

/** Every action's codec, for tools and tests. */
export function allCodecs(): readonly ActionCodec[] {
  return ALL;
}

/** The codec of an action. */
export function codecOf(type: ActionType): ActionCodec {
  return CODECS[type];
}

type Parse = ActionCodec['words'][string];

const PARSERS: ReadonlyMap<string, Parse> = new Map(ALL.flatMap((codec) => Object.entries(codec.words)));

/** What reads the argument of the action that `word` (in any case) begins. */
export function parserOf(word: string): Parse | undefined {
  return PARSERS.get(word.toLowerCase());
}

const FORMS: ReadonlyMap<string, WireForm> = new Map(
  ALL.flatMap((codec) =>
    codec.wire.flatMap((form) =>
      [1, 2, 3, 4, 5, 6]
        .filter((version) => version >= form.since && version <= form.until)
        .map((version): [string, WireForm] => [formKey(version, form.vendor, form.type), form]),
    ),
  ),
);

function formKey(version: number, vendor: number, type: number): string {
  return `${version}/${vendor}/${type}`;
}

/** The encoding with these numbers in an OpenFlow version. */
export function wireFormOf(version: number, vendor: number, type: number): WireForm | undefined {
  return FORMS.get(formKey(version, vendor, type));
}

/** Every encoding of every action, for tools and tests. */
export function wireForms(): readonly WireForm[] {
  return ALL.flatMap((codec) => codec.wire);
}
