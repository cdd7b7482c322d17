/** Whether a frame agrees with the match of an ACL, member by member as the schema says; the reference model's own reading. */
import type { AclMatch } from '../../src/api-schema/network.ts';
import type { Frame } from './frame.ts';
import { inPrefix } from './ip.ts';

const NUMBERS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 };

function many<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}

function etherTypeOf({ body }: Frame): number {
  if (body.kind === 'arp') return 0x0806;
  if (body.kind === 'other') return body.etherType;
  return body.family === 4 ? 0x0800 : 0x86dd;
}

function protocolOf({ body }: Frame): number | undefined {
  if (body.kind !== 'ip') return undefined;
  if (body.l4.proto === 'tcp' || body.l4.proto === 'udp') return NUMBERS[body.l4.proto];
  return body.family === 4 ? 1 : 58;
}

function inPorts(port: number, list: NonNullable<AclMatch['sourcePorts']>): boolean {
  return many<number | string>(list).some((text) => {
    const [from, to = from] = String(text).split('-').map(Number);
    return port >= from && port <= to;
  });
}

export function aclMatches(match: AclMatch, frame: Frame): boolean {
  const { body } = frame;
  if (match.sourceMac !== undefined && match.sourceMac !== frame.src) return false;
  if (match.destinationMac !== undefined && match.destinationMac !== frame.dst) return false;
  if (match.etherType !== undefined) {
    const names: Readonly<Record<string, number>> = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806 };
    const wanted = typeof match.etherType === 'number' ? match.etherType : names[match.etherType];
    if (etherTypeOf(frame) !== wanted) return false;
  }
  for (const [prefixes, of] of [
    [match.source, 'source'],
    [match.destination, 'destination'],
  ] as const) {
    if (prefixes === undefined) continue;
    // Addresses imply IP, unless the rule says that it is about ARP.
    const arp = match.etherType === 'arp';
    const address =
      body.kind === 'ip' && !arp
        ? of === 'source'
          ? body.src
          : body.dst
        : body.kind === 'arp' && arp
          ? of === 'source'
            ? body.spa
            : body.tpa
          : undefined;
    if (address === undefined || !many(prefixes).some((prefix) => inPrefix(address, prefix))) return false;
  }
  if (match.protocol !== undefined) {
    const wanted = typeof match.protocol === 'number' ? match.protocol : NUMBERS[match.protocol];
    if (protocolOf(frame) !== wanted) return false;
  }
  const l4 = body.kind === 'ip' ? body.l4 : undefined;
  const ports = l4?.proto === 'tcp' || l4?.proto === 'udp' ? l4 : undefined;
  if (match.sourcePorts !== undefined && (ports === undefined || !inPorts(ports.sport, match.sourcePorts)))
    return false;
  if (
    match.destinationPorts !== undefined &&
    (ports === undefined || !inPorts(ports.dport, match.destinationPorts))
  ) {
    return false;
  }
  const icmp = l4?.proto === 'icmp' || l4?.proto === 'nd' || l4?.proto === 'error' ? l4 : undefined;
  if (match.icmpType !== undefined && icmp?.type !== match.icmpType) return false;
  if (
    match.icmpCode !== undefined &&
    (icmp === undefined || (icmp.proto === 'nd' ? 0 : icmp.code) !== match.icmpCode)
  ) {
    return false;
  }
  return true;
}
