/** Frames as the reference model thinks of them, and their bytes. */
import { arp, eth, icmp, icmpv6, ipv4, ipv6, nd, tcp, udp, vlan } from '../../src/wire/make.ts';
import { buildPacket, dissectPacket, type Layer } from '../../src/wire/packet.ts';

export interface ArpBody {
  readonly kind: 'arp';
  readonly op: number;
  readonly sha: string;
  readonly spa: string;
  readonly tha: string;
  readonly tpa: string;
}

export interface IpBody {
  readonly kind: 'ip';
  readonly family: 4 | 6;
  readonly src: string;
  readonly dst: string;
  readonly ttl: number;
  readonly dscp: number;
  readonly l4: L4;
}

export type L4 =
  | { readonly proto: 'udp' | 'tcp'; readonly sport: number; readonly dport: number; readonly flags: number }
  /** ICMP or ICMPv6, by the family; `rest`: identifier and sequence of echoes. */
  | { readonly proto: 'icmp'; readonly type: number; readonly code: number; readonly rest: number }
  /** Neighbor solicitation or advertisement; lla "": without the option. */
  | {
      readonly proto: 'nd';
      readonly type: 135 | 136;
      readonly flags: number;
      readonly target: string;
      readonly lla: string;
    }
  /** An ICMP error, and the packet that it quotes. */
  | { readonly proto: 'error'; readonly type: number; readonly code: number; readonly about: IpBody };

export interface OtherBody {
  readonly kind: 'other';
  readonly etherType: number;
}

export interface Frame {
  readonly src: string;
  readonly dst: string;
  /** VLAN identifier; 0: untagged. */
  readonly vid: number;
  readonly body: ArpBody | IpBody | OtherBody;
}

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_ACK = 16;

const PAYLOAD = Uint8Array.from({ length: 16 }, (_, i) => i);

function l4Layers({ family, l4 }: IpBody): Layer[] {
  switch (l4.proto) {
    case 'udp':
      return [udp(l4.sport, l4.dport)];
    case 'tcp':
      return [
        tcp(l4.sport, l4.dport, {
          flags: l4.flags,
          ack: (l4.flags & TCP_ACK) === 0 ? 0 : 1,
          seq: (l4.flags & (TCP_SYN | TCP_ACK)) === TCP_ACK ? 1 : 0,
        }),
      ];
    case 'icmp':
      return [family === 4 ? icmp(l4.type, l4.code, l4.rest) : icmpv6(l4.type, l4.code, l4.rest)];
    case 'nd': {
      const option = l4.type === 135 ? { source: l4.lla } : { target: l4.lla };
      return [icmpv6(l4.type, 0, l4.flags), nd(l4.target, l4.lla === '' ? {} : option)];
    }
    case 'error':
      return [family === 4 ? icmp(l4.type, l4.code) : icmpv6(l4.type, l4.code)];
  }
}

export function build(frame: Frame): Uint8Array {
  const { body } = frame;
  const layers: Layer[] = [
    eth(frame.src, frame.dst, body.kind === 'other' && frame.vid === 0 ? body.etherType : undefined),
  ];
  if (frame.vid !== 0) layers.push(vlan(frame.vid, body.kind === 'other' ? { type: body.etherType } : {}));
  if (body.kind === 'arp') layers.push(arp(body.op, body.sha, body.spa, body.tha, body.tpa));
  if (body.kind === 'ip') {
    layers.push(
      body.family === 4
        ? ipv4(body.src, body.dst, { ttl: body.ttl, tos: body.dscp << 2 })
        : ipv6(body.src, body.dst, { hopLimit: body.ttl, trafficClass: body.dscp << 2 }),
    );
    layers.push(...l4Layers(body));
  }
  const bare =
    body.kind === 'arp' || (body.kind === 'ip' && (body.l4.proto === 'nd' || body.l4.proto === 'tcp'));
  return buildPacket(layers, bare ? new Uint8Array(0) : PAYLOAD);
}

/** For people: what is in a packet's bytes. */
export function show(bytes: Uint8Array): string {
  const { layers, payload } = dissectPacket(bytes);
  const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');
  const parts = layers.map((layer) =>
    Object.entries(layer)
      .map(([key, value]) =>
        key === 'layer'
          ? String(value)
          : `${key}=${value instanceof Uint8Array ? hex(value) : JSON.stringify(value, (_, v) => (v instanceof Uint8Array ? hex(v) : v))}`,
      )
      .join(' '),
  );
  return `${parts.join(' | ')} | ${payload.length} bytes`;
}

/**
 * What tells packets apart here: all bytes, or of ICMP errors and resets, addresses, ports, type and code, since what
 * else they say is their sender's affair.
 */
export function fingerprint(bytes: Uint8Array): string {
  const { layers } = dissectPacket(bytes);
  const last = layers.at(-1);
  const isError =
    (last?.layer === 'icmp' && [3, 11].includes(last.type)) ||
    (last?.layer === 'icmpv6' && last.type < 128) ||
    (last?.layer === 'tcp' && (last.flags & TCP_RST) !== 0);
  if (!isError) return Buffer.from(bytes).toString('hex');
  const text = layers.map((layer) => {
    if (layer.layer === 'eth') return `${hexOf(layer.src)} ${hexOf(layer.dst)}`;
    if (layer.layer === 'ipv4') return `${hexOf(layer.src)} ${hexOf(layer.dst)} ${layer.ttl}`;
    if (layer.layer === 'ipv6') return `${hexOf(layer.src)} ${hexOf(layer.dst)} ${layer.hopLimit}`;
    if (layer.layer === 'icmp' || layer.layer === 'icmpv6')
      return `${layer.layer} ${layer.type} ${layer.code}`;
    if (layer.layer === 'tcp') return `tcp ${layer.srcPort} ${layer.dstPort} ${layer.flags}`;
    return layer.layer;
  });
  return text.join(' | ');
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
