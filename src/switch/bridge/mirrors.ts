import type { ModuleLog } from '../../base/log.ts';
import { MAX_MIRRORS, type MirrorSettings } from '../ofproto/mirror.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { Bundle } from '../ofproto/port.ts';
import type { Db, Row } from './config.ts';

/** A row of the table Mirror, with names for ports. */
export interface MirrorConfig {
  readonly uuid: string;
  readonly name: string;
  readonly selectAll: boolean;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  /** None: all. */
  readonly vlans: readonly number[];
  readonly outputPort: string | null;
  readonly outputVlan: number | null;
  /** 0: all bytes. */
  readonly snaplen: number;
}

export function readMirrors(db: Db, row: Row<'Bridge'>): MirrorConfig[] {
  const nameOf = (uuid: string): string[] => {
    const port = db.table('Port').get(uuid);
    return port === undefined ? [] : [port.name];
  };
  const mirrors: MirrorConfig[] = [];
  for (const uuid of row.mirrors) {
    const mirror = db.table('Mirror').get(uuid);
    if (mirror === undefined) continue;
    mirrors.push({
      uuid,
      name: mirror.name,
      selectAll: mirror.select_all,
      sources: mirror.select_src_port.flatMap(nameOf),
      destinations: mirror.select_dst_port.flatMap(nameOf),
      vlans: mirror.select_vlan,
      outputPort: mirror.output_port === null ? null : (nameOf(mirror.output_port)[0] ?? ''),
      outputVlan: mirror.output_vlan,
      snaplen: mirror.snaplen ?? 0,
    });
  }
  // In an order that doesn't depend on the database's.
  return mirrors.sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
}

/** Brings a bridge's mirrors to what the database asks for; those that can't be are left out, and the log says why. */
export function applyMirrors(ofproto: Ofproto, configs: readonly MirrorConfig[], log: ModuleLog): void {
  const wanted = configs.flatMap((config) => settingsOf(ofproto, config, log) ?? []);
  if (wanted.length > MAX_MIRRORS)
    log.warn(`bridge ${ofproto.name}: ${wanted.length} mirrors, of which the first ${MAX_MIRRORS} are made`);
  ofproto.configureMirrors(wanted);
}

function settingsOf(ofproto: Ofproto, config: MirrorConfig, log: ModuleLog): MirrorSettings | null {
  const { uuid, name, selectAll, outputPort, outputVlan, snaplen } = config;
  const refuse = (why: string): null => {
    log.limited(60, 5).err(`bridge ${ofproto.name}: mirror ${name} ${why}`);
    return null;
  };
  let output: Bundle | null = null;
  if (outputPort !== null) {
    output = ofproto.bundle(outputPort) ?? null;
    if (output === null) return refuse('outputs to port not on bridge');
    if (outputVlan !== null) refuse('specifies both output port and output vlan; ignoring output vlan');
  } else if (outputVlan === null) {
    return refuse('does not specify output; ignoring');
  }
  const all = [...ofproto.bundles()];
  const named = (names: readonly string[]): Set<Bundle> =>
    new Set(selectAll ? all : all.filter((bundle) => names.includes(bundle.name)));
  return {
    uuid,
    name,
    sources: named(config.sources),
    destinations: named(config.destinations),
    vlans: config.vlans.length === 0 ? null : bitmapOf(config.vlans),
    output,
    outputVlan: output === null ? (outputVlan ?? 0) : 0,
    snaplen,
  };
}

function bitmapOf(vlans: readonly number[]): Uint8Array {
  const bits = new Uint8Array(512);
  for (const vlan of vlans) bits[vlan >> 3] |= 1 << (vlan & 7);
  return bits;
}
