import { WeftError } from '../../base/errors.ts';
import { formatIpv4, formatIpv6, parseIpv4Address, parseIpv6Address } from '../../wire/address.ts';
import { GENEVE_PORT } from '../../wire/geneve.ts';
import { VXLAN_PORT } from '../../wire/vxlan.ts';

/** Interface types that are tunnels. */
export const TUNNEL_TYPES = ['geneve', 'gre', 'vxlan'] as const;
export type TunnelType = (typeof TUNNEL_TYPES)[number];

export function isTunnelType(type: string): type is TunnelType {
  return (TUNNEL_TYPES as readonly string[]).includes(type);
}

/** An end of a tunnel: an address of 4 or 16 bytes, what the flow table says, or (local ends only) any. */
export type TunnelEnd = Uint8Array | 'flow' | null;

/** A key that is matched or written: a number of up to 64 bits, what the flow table says, or none. */
export type TunnelKey = bigint | 'flow' | null;

/** What the `options` of a tunnel interface ask for (ovs-vswitchd.conf.db(5), "Tunnel Options"). */
export interface TunnelConfig {
  readonly type: TunnelType;
  readonly remote: Exclude<TunnelEnd, null>;
  readonly local: TunnelEnd;
  readonly inKey: TunnelKey;
  readonly outKey: TunnelKey;
  /** DSCP in place, 0 to 0xfc. */
  readonly tos: number | 'inherit';
  readonly ttl: number | 'inherit';
  readonly dontFragment: boolean;
  readonly checksum: boolean;
  /** UDP port of the datagrams sent and received; 0: no UDP (GRE). */
  readonly dstPort: number;
  /** null: packets keep their mark. */
  readonly egressMark: number | null;
  /** VXLAN's group policy extension. */
  readonly gbp: boolean;
}

/** What was read, and what was wrong with it but not so wrong that there can be no tunnel. */
export interface TunnelReading {
  readonly config: TunnelConfig;
  readonly warnings: readonly string[];
}

export const DEFAULT_TTL = 64;

const DEFAULT_PORTS: Readonly<Record<TunnelType, number>> = {
  geneve: GENEVE_PORT,
  gre: 0,
  vxlan: VXLAN_PORT,
};

/** Options that others read: keys and certificates of IPsec. */
const OTHERS: ReadonlySet<string> = new Set(['remote_cert', 'remote_name', 'psk']);

/** The known options but those of keys, each with what it says or a complaint. */
class Reader {
  readonly warnings: string[] = [];
  readonly name: string;
  readonly type: TunnelType;
  remote: TunnelEnd = null;
  local: TunnelEnd = null;
  tos: number | 'inherit' = 0;
  ttl: number | 'inherit' = DEFAULT_TTL;
  dontFragment = true;
  checksum = false;
  dstPort: number;
  egressMark: number | null = null;
  gbp = false;

  constructor(name: string, type: TunnelType) {
    this.name = name;
    this.type = type;
    this.dstPort = DEFAULT_PORTS[type];
  }

  fail(text: string): never {
    throw new WeftError('bad-tunnel-options', [...this.warnings, `${this.name}: ${text}`].join('\n'), {
      remedy: 'see "Tunnel Options" in ovs-vswitchd.conf.db(5)',
    });
  }

  warn(text: string): void {
    this.warnings.push(`${this.name}: ${text}`);
  }

  read(key: string, value: string): void {
    switch (key) {
      case 'remote_ip': {
        const end = parseEnd(value);
        if (end === null) this.warn(`bad ${this.type} 'remote_ip'`);
        else if (end !== 'flow' && isMulticast(end)) this.fail(`multicast remote_ip=${value} not allowed`);
        else this.remote = end;
        return;
      }
      case 'local_ip':
        this.local = parseEnd(value);
        if (this.local === null) this.warn(`bad ${this.type} 'local_ip'`);
        return;
      case 'tos': {
        const tos = value === 'inherit' ? value : Number(value);
        if (tos === 'inherit' || (value !== '' && (tos & ~0xfc) === 0 && Number.isInteger(tos)))
          this.tos = tos;
        else this.warn(`invalid TOS ${value}`);
        return;
      }
      case 'ttl':
        this.ttl = value === 'inherit' ? value : Number.parseInt(value, 10) & 0xff || DEFAULT_TTL;
        return;
      case 'dst_port':
        if (this.type === 'gre') break;
        this.dstPort = Number.parseInt(value, 10) & 0xffff;
        if (this.dstPort === 0) this.fail(`dst_port=${value} is not a UDP port`);
        return;
      case 'csum':
        this.checksum = value === 'true';
        return;
      case 'df_default':
        this.dontFragment = value !== 'false';
        return;
      case 'egress_pkt_mark':
        this.egressMark = (Number.parseInt(value, 10) || 0) >>> 0;
        return;
      case 'exts':
        if (this.type !== 'vxlan') break;
        for (const extension of value.split(',')) {
          if (extension === 'gbp') this.gbp = true;
          else if (extension !== '') this.warn(`unknown extension '${extension}'`);
        }
        return;
      case 'packet_type':
        if (value !== 'legacy_l2') this.fail(`packet_type '${value}' is not supported: only legacy_l2 is`);
        return;
      case 'key':
      case 'in_key':
      case 'out_key':
        return;
    }
    if (!OTHERS.has(key)) this.warn(`unknown ${this.type} argument '${key}'`);
  }
}

/**
 * Reads the options of a tunnel interface.
 * @throws WeftError `bad-tunnel-options` with one line for each complaint
 */
export function readTunnelOptions(
  name: string,
  type: TunnelType,
  options: ReadonlyMap<string, string>,
): TunnelReading {
  const r = new Reader(name, type);
  for (const [key, value] of [...options].sort(([a], [b]) => (a < b ? -1 : 1))) r.read(key, value);
  const { remote, local } = r;
  if (remote === null) return r.fail(`${type} type requires valid 'remote_ip' argument`);
  if (local === 'flow' && remote !== 'flow') {
    return r.fail(`${type} type requires 'remote_ip=flow' with 'local_ip=flow'`);
  }
  if (typeof remote !== 'string' && local !== null && typeof local !== 'string') {
    if (remote.length !== local.length) {
      return r.fail("'remote_ip' and 'local_ip' has to be of the same address family");
    }
  }
  const { tos, ttl, dontFragment, checksum, dstPort, egressMark, gbp } = r;
  const inKey = readKey(options, 'in_key');
  const outKey = readKey(options, 'out_key');
  return {
    config: {
      type,
      remote,
      local,
      inKey,
      outKey,
      tos,
      ttl,
      dontFragment,
      checksum,
      dstPort,
      egressMark,
      gbp,
    },
    warnings: r.warnings,
  };
}

/** `in_key` or `out_key`, else `key`. What is no number counts as 0. */
function readKey(options: ReadonlyMap<string, string>, name: string): TunnelKey {
  const text = options.get(name) ?? options.get('key');
  if (text === undefined) return null;
  if (text === 'flow') return 'flow';
  const digits = /^\s*(0[xX][0-9a-fA-F]+|\d+)/.exec(text)?.[1];
  return digits === undefined ? 0n : BigInt.asUintN(64, BigInt(digits));
}

/** null: no address. All zeros is none either. */
function parseEnd(text: string): TunnelEnd {
  if (text === 'flow') return 'flow';
  const address = text.includes(':') ? parseIpv6Address(text) : parseIpv4Address(text);
  return address?.some((byte) => byte !== 0) ? address : null;
}

function isMulticast(address: Uint8Array): boolean {
  return address.length === 4 ? address[0] >> 4 === 0xe : address[0] === 0xff;
}

/** The options that say what `config` does, without those that say what is so anyway; sorted. */
export function tunnelOptions(config: TunnelConfig): Map<string, string> {
  const { type, inKey, outKey, remote, local, tos, ttl, dstPort, checksum, dontFragment, egressMark } =
    config;
  const options = new Map<string, string>();
  if (checksum) options.set('csum', 'true');
  if (!dontFragment) options.set('df_default', 'false');
  if (dstPort !== DEFAULT_PORTS[type]) options.set('dst_port', String(dstPort));
  if (egressMark !== null) options.set('egress_pkt_mark', String(egressMark));
  if (inKey === outKey) {
    if (inKey !== null) options.set('key', String(inKey));
  } else {
    if (inKey !== null) options.set('in_key', String(inKey));
    if (outKey !== null) options.set('out_key', String(outKey));
  }
  if (local !== null) options.set('local_ip', endText(local));
  options.set('remote_ip', endText(remote));
  if (tos !== 0) options.set('tos', tos === 'inherit' ? tos : `0x${tos.toString(16)}`);
  if (ttl !== DEFAULT_TTL) options.set('ttl', String(ttl));
  return options;
}

/** An end as text: an address, "flow", or "::" for any. */
export function endText(end: TunnelEnd): string {
  if (end === null) return '::';
  if (end === 'flow') return end;
  return end.length === 4 ? formatIpv4(end) : formatIpv6(end);
}

/** Name of the datapath port that all tunnels of a type and UDP port share. */
export function datapathPortName({ type, dstPort }: TunnelConfig): string {
  if (type === 'gre') return 'gre_sys';
  return `${type === 'geneve' ? 'genev' : type}_sys_${dstPort}`;
}
