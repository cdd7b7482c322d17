/** Objects of the API as rows of the rules' input tables (`rules/inputs.nlog`). */
import type { SpecOf, Stored } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { Row } from '../../nlog/index.ts';
import { formatIpv4, formatIpv6, parseIpv4Address, parseIpv6Address } from '../../wire/address.ts';
import type { Side } from './labels.ts';

export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

export interface InputRow {
  readonly table: string;
  readonly row: Row;
}

/** What the rows of an object depend on beside the object itself. */
export interface RowContext {
  label(id: string, side?: Side): number;
  /** Whether the object is there and enabled, and all that it lives in. */
  enabled(id: string): boolean;
  /** The matches that an API match stands for, in canonical text. */
  aclMatches(match: SpecOf<'acl'>['match']): readonly string[];
}

/** "10.0.0.1/24" -> the address, the network around it, 24, 4. */
export interface NetworkText {
  readonly address: string;
  readonly network: string;
  readonly length: number;
  readonly family: 4 | 6;
}

export function parseNetwork(text: string): NetworkText {
  const slash = text.indexOf('/');
  const head = slash < 0 ? text : text.slice(0, slash);
  const v4 = parseIpv4Address(head);
  const bytes = v4 ?? parseIpv6Address(head);
  const length = slash < 0 ? (bytes?.length ?? 0) * 8 : Number(text.slice(slash + 1));
  if (bytes === null || !Number.isInteger(length) || length < 0 || length > bytes.length * 8)
    throw new WeftError('bad-network', `"${text}" is no network such as 10.0.0.0/24 or fd00::/64`, {
      remedy: 'write address and prefix length',
    });
  const masked = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))));
  const format = v4 === null ? formatIpv6 : formatIpv4;
  return { address: format(bytes), network: format(masked), length, family: v4 === null ? 6 : 4 };
}

type Rows = InputRow[];

function switchRows(id: string, spec: SpecOf<'logical-switch'>, context: RowContext, rows: Rows): void {
  rows.push({ table: 'logical_switch', row: [id, context.label(id), spec.unknown === 'flood'] });
}

function portRows(id: string, spec: SpecOf<'logical-port'>, context: RowContext, rows: Rows): void {
  const addresses = spec.addresses ?? [];
  // Without addresses there is nothing to hold to.
  const security = (spec.portSecurity ?? true) && addresses.length > 0;
  rows.push({ table: 'logical_port', row: [id, context.label(id), spec.switch, spec.vif ?? '', security] });
  for (const { mac, ips } of addresses)
    for (const ip of ['', ...(ips ?? [])]) rows.push({ table: 'port_address', row: [id, mac, ip] });
  const { dscp, rate, burst } = spec.qos ?? {};
  if (dscp !== undefined) rows.push({ table: 'port_mark', row: [id, dscp] });
  // By default a burst is what the rate sends in 0.1 s.
  if (rate !== undefined)
    rows.push({ table: 'port_rate', row: [id, rate, burst ?? Math.max(1, Math.ceil(rate / 10))] });
}

function routerPortRows(id: string, spec: SpecOf<'router-port'>, context: RowContext, rows: Rows): void {
  const labels = [context.label(id, 'switch'), context.label(id, 'router')];
  rows.push({ table: 'router_port', row: [id, spec.router, spec.switch, spec.mac, ...labels] });
  for (const text of spec.networks) {
    const { address, network, length, family } = parseNetwork(text);
    rows.push({ table: 'router_network', row: [id, address, network, length, family] });
  }
}

function routeRows(id: string, spec: SpecOf<'static-route'>, rows: Rows): void {
  const { network, length, family } = parseNetwork(spec.prefix);
  const nextHop = spec.discard === true ? '' : (spec.nextHop ?? '');
  rows.push({ table: 'static_route', row: [id, spec.router, network, length, family, nextHop] });
}

function aclRows(id: string, spec: SpecOf<'acl'>, context: RowContext, rows: Rows): void {
  const { port = NIL_UUID, direction, priority, action } = spec;
  const on = spec.port === undefined ? (spec.switch ?? NIL_UUID) : NIL_UUID;
  rows.push({ table: 'acl', row: [id, port, on, direction, priority, action] });
  for (const match of new Set(context.aclMatches(spec.match)))
    rows.push({ table: 'acl_match', row: [id, match] });
}

function bindingRows(id: string, spec: SpecOf<'address-binding'>, rows: Rows): void {
  for (const ip of ['', ...(spec.ips ?? [])])
    rows.push({ table: 'address_binding', row: [id, spec.switch, spec.port ?? NIL_UUID, spec.mac, ip] });
}

function nodeRows(spec: SpecOf<'transport-node'>, rows: Rows): void {
  rows.push({ table: 'transport_node', row: [spec.systemId] });
  spec.tunnels.forEach(({ encapsulation, address }, preference) => {
    const { family } = parseNetwork(address);
    rows.push({
      table: 'tunnel_endpoint',
      row: [spec.systemId, encapsulation, address, family, preference],
    });
  });
}

/** The rows that an object makes; none where it, or what it lives in, is not enabled. */
export function inputRows(object: Stored, context: RowContext): readonly InputRow[] {
  const rows: Rows = [];
  const { id } = object;
  if (!context.enabled(id)) return rows;
  if (isKind(object, 'logical-switch')) switchRows(id, object.spec, context, rows);
  else if (isKind(object, 'logical-port')) portRows(id, object.spec, context, rows);
  else if (isKind(object, 'logical-router'))
    rows.push({ table: 'logical_router', row: [id, context.label(id)] });
  else if (isKind(object, 'router-port')) routerPortRows(id, object.spec, context, rows);
  else if (isKind(object, 'static-route')) routeRows(id, object.spec, rows);
  else if (isKind(object, 'acl')) aclRows(id, object.spec, context, rows);
  else if (isKind(object, 'address-binding')) bindingRows(id, object.spec, rows);
  else if (isKind(object, 'transport-node')) nodeRows(object.spec, rows);
  return rows;
}

/** Tells the compiler what `kind` says. */
export function isKind<K extends Stored['kind']>(object: Stored, kind: K): object is Stored<K> {
  return object.kind === kind;
}
