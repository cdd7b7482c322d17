import { KINDS, type Stored } from '../../api-schema/kinds.ts';
import type { AclMatch } from '../../api-schema/network.ts';
import { MAX_ACL_MATCHES, rangeMasks } from '../acl-match.ts';

/**
 * How many flows an object may come to on a host, where its lists multiply: that of an ACL's matches, at most, told from
 * the lengths of its lists alone, since to work them out is what has to be bounded. 0 for all other kinds.
 */
export function weightOf({ kind, spec }: Pick<Stored, 'kind' | 'spec'>): number {
  if (KINDS[kind] !== KINDS.acl) return 0;
  const { source, destination, sourcePorts, destinationPorts } = (spec as Stored<'acl'>['spec']).match;
  const families = source === undefined && destination === undefined ? 2 : 1;
  const weight =
    families * countOf(source) * countOf(destination) * blocksOf(sourcePorts) * blocksOf(destinationPorts);
  return Math.min(weight, MAX_ACL_MATCHES);
}

function countOf(networks: AclMatch['source']): number {
  return Array.isArray(networks) ? networks.length : 1;
}

function blocksOf(ports: AclMatch['sourcePorts']): number {
  if (ports === undefined) return 1;
  const list: readonly (number | string)[] = Array.isArray(ports) ? ports : [ports];
  return list.reduce<number>((n, text) => {
    const [from, to = from] = String(text).split('-').map(Number);
    return n + rangeMasks(from, Math.min(to, 0xffff)).length;
  }, 0);
}
