/**
 * The flows and groups where logical meets physical: tables 0, 64, 65 and 66 of `src/logical/layout.ts`.
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

/** A group of type "all": each bucket, a list of actions, gets a copy of the packet. */
export interface PhysicalGroup {
  readonly id: number;
  readonly buckets: readonly string[];
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
/** Copies in one group: a message takes up to 64 kB, one copy some 70 bytes. */
const CHUNK_COPIES = 512;
/** Numbers of groups end at 2^32 - 256. */
const MAX_CHUNKS = 127;
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

/**
 * A group gives each copy a packet of its own: where one copy's packet waits for an answer, the others go on.
 *
 * @param to labels of ports that are here, and OpenFlow ports of tunnels as negative numbers
 */
export function flood(
  datapath: number,
  to: readonly number[],
): { readonly flows: PhysicalFlow[]; readonly groups: PhysicalGroup[] } {
  const { datapath: metadata, outPort } = REGISTERS;
  const locals = to
    .filter((n) => n > 0)
    .map((port) => `set_field:${port}->${outPort},resubmit(,${localOutput})`);
  const tunnels = to.filter((n) => n < 0).map((n) => `set_field:${datapath}->tun_id,output:${-n}`);
  const everywhere = groupChain(datapath, 0, [...locals, ...tunnels]);
  const here = groupChain(datapath, 1, locals);
  const flows = [flow(output, `${metadata}=${datapath},${outPort}=${datapath}`, `group:${everywhere[0].id}`)];
  if (here.length > 0) flows.push(flow(localOutput, `${outPort}=${datapath}`, `group:${here[0].id}`));
  return { flows, groups: [...everywhere, ...here] };
}

/** One group, or a chain of them where one would grow too long. */
function groupChain(datapath: number, kind: 0 | 1, copies: readonly string[]): PhysicalGroup[] {
  const id = (chunk: number): number => datapath + kind * 2 ** 24 + chunk * 2 ** 25;
  const groups: PhysicalGroup[] = [];
  for (let at = 0, n = 0; at < copies.length && n < MAX_CHUNKS; at += CHUNK_COPIES, n++) {
    const buckets = copies.slice(at, at + CHUNK_COPIES);
    if (at + CHUNK_COPIES < copies.length && n + 1 < MAX_CHUNKS) buckets.push(`group:${id(n + 1)}`);
    groups.push({ id: id(n), buckets });
  }
  return groups;
}
