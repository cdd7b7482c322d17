/**
 * The flows where logical meets physical: tables 0, 64, 65 and 66 of `src/logical/layout.ts`.
 *
 *     0   in_port of a VIF        -> its port, datapath and zone; the first stage of a switch
 *         in_port of a tunnel     -> the tunnel's key as out port; 65
 *     64  a port that is here     -> 65
 *         a port elsewhere        -> the tunnel to its host, its label as key
 *         a switch                -> a copy for each port of it that is here, and for each host with ports of it
 *     65  a port that is here     -> its egress pipeline; unless it came in by that port, and may not leave by it
 *         a switch                -> a copy for each port of it that is here
 *     66  a port that is here     -> its device
 *
 * What came by a tunnel never reaches table 64 as it is, so never goes into a tunnel again. A packet of one datapath
 * cannot leave by a port of another: all of 64 and 66 match on `metadata`.
 */
import { REGISTERS, SWITCH_EGRESS, SWITCH_INGRESS, stageTable, TABLES } from '../logical/layout.ts';

/** A flow as an agent wants it: match and actions in the syntax of ovs-ofctl. */
export interface PhysicalFlow {
  readonly table: number;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  /** The API object that it comes from; undefined for what the agent or all agents make. */
  readonly origin: string | undefined;
}

/** A port that is on this host. */
export interface LocalPort {
  readonly port: number;
  readonly datapath: number;
  readonly ofport: number;
  readonly zone: number;
  /** Whether a meter, of the port's number, holds it to a rate. */
  readonly metered: boolean;
}

const { physicalToLogical, output, localOutput, deliver } = TABLES;
const PRIORITY = 100;
/** Where in a long list of copies a packet is: a register that logical pipelines do not know. */
const CHUNK = 'reg12';
/** Copies in one flow: an action list takes up to 64 kB, one copy some 60 bytes. */
const CHUNK_COPIES = 512;
const INGRESS = stageTable(SWITCH_INGRESS[0]);
const EGRESS = stageTable(SWITCH_EGRESS[0]);
/** Scratch registers begin each pass of a pipeline as 0: reg0 to reg9. */
const CLEAR = 'set_field:0->xxreg0,set_field:0->xxreg1,set_field:0->xreg4';

function flow(table: number, match: string, actions: string, priority = PRIORITY): PhysicalFlow {
  return { table, priority, match, actions, origin: undefined };
}

export function localFlows({ port, datapath, ofport, zone, metered }: LocalPort): PhysicalFlow[] {
  const { datapath: metadata, inPort, outPort, zone: ctZone, flags } = REGISTERS;
  const meter = metered ? `meter:${port},` : '';
  return [
    flow(
      physicalToLogical,
      `in_port=${ofport}`,
      `${meter}set_field:${zone}->${ctZone},set_field:${port}->${inPort},set_field:${datapath}->${metadata},resubmit(,${INGRESS})`,
    ),
    flow(output, `${metadata}=${datapath},${outPort}=${port}`, `resubmit(,${localOutput})`),
    flow(localOutput, `${flags}=0/0x1,${inPort}=${port},${outPort}=${port}`, 'drop', PRIORITY + 10),
    flow(
      localOutput,
      `${outPort}=${port}`,
      `${CLEAR},set_field:${zone}->${ctZone},set_field:${datapath}->${metadata},resubmit(,${EGRESS})`,
    ),
    flow(deliver, `${metadata}=${datapath},${outPort}=${port}`, `output:${ofport}`),
  ];
}

/** A port that is on another host, which the tunnel at `ofport` leads to. */
export function remoteFlow(port: number, datapath: number, ofport: number): PhysicalFlow {
  const { datapath: metadata, outPort } = REGISTERS;
  return flow(
    output,
    `${metadata}=${datapath},${outPort}=${port}`,
    `set_field:${port}->tun_id,output:${ofport}`,
  );
}

/** A tunnel that packets are taken from. */
export function acceptFlow(ofport: number): PhysicalFlow {
  return flow(
    physicalToLogical,
    `in_port=${ofport}`,
    `move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG15[],resubmit(,${localOutput})`,
  );
}

/** @param to labels of ports that are here, and OpenFlow ports of tunnels as negative numbers */
export function floodFlows(datapath: number, to: readonly number[]): PhysicalFlow[] {
  const { datapath: metadata, outPort } = REGISTERS;
  const locals = to
    .filter((n) => n > 0)
    .map((port) => `clone(set_field:${port}->${outPort},resubmit(,${localOutput}))`);
  const tunnels = to.filter((n) => n < 0).map((n) => `output:${-n}`);
  if (tunnels.length > 0) tunnels.unshift(`set_field:${datapath}->tun_id`);
  return [
    ...chunks(output, `${metadata}=${datapath},${outPort}=${datapath}`, [...locals, ...tunnels]),
    ...chunks(localOutput, `${outPort}=${datapath}`, locals),
  ];
}

/** One flow, or a chain of them where one would grow too long. */
function chunks(table: number, match: string, copies: readonly string[]): PhysicalFlow[] {
  const flows: PhysicalFlow[] = [];
  for (let at = 0, n = 0; at < copies.length; at += CHUNK_COPIES, n++) {
    const actions = copies.slice(at, at + CHUNK_COPIES);
    if (at + CHUNK_COPIES < copies.length)
      actions.push(`set_field:${n + 1}->${CHUNK}`, `resubmit(,${table})`);
    flows.push(
      n === 0
        ? flow(table, match, actions.join(','))
        : flow(table, `${match},${CHUNK}=${n}`, actions.join(','), PRIORITY + 1),
    );
  }
  return flows;
}
