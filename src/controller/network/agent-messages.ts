/**
 * What agents say, checked: hosts are trusted with their own VIFs, but not with the controller's memory. Every list
 * and text is bounded; what does not fit ends the connection with an error that says where.
 */
import { WeftError } from '../../base/errors.ts';
import { MAX_LABEL } from '../../logical/layout.ts';
import type {
  Applied,
  Failed,
  Hello,
  Locations,
  PortStatistics,
  Statistics,
  VifReport,
} from '../../logical/protocol.ts';
import type { Json } from '../../ovsdb/json.ts';

export const MAX_VIFS = 65_536;
const MAX_FLOW_COUNTERS = 1_000_000;
const MAX_NAME = 256;
const MAX_TEXT = 65_536;

function refuse(where: string, what: string): never {
  throw new WeftError('bad-agent-message', `${where}: ${what}`, {
    remedy: 'agent and controller must be of versions that fit together',
  });
}

type Fields = Readonly<Record<string, Json>>;

function object(value: Json | undefined, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(where, 'is no object');
  return value as Fields;
}

function field(fields: Fields, name: string): Json | undefined {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function text(fields: Fields, name: string, where: string, limit = MAX_NAME): string {
  const value = field(fields, name);
  if (typeof value !== 'string' || value.length > limit)
    refuse(`${where}.${name}`, `is no text of at most ${limit} characters`);
  return value;
}

function count(fields: Fields, name: string, where: string): number {
  const value = field(fields, name);
  // Counters of 64 bits that a number does not hold exactly are rounded.
  if (typeof value === 'bigint' && value >= 0n) return Number(value);
  if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value))
    refuse(`${where}.${name}`, 'is no number from 0');
  return value;
}

function integer(fields: Fields, name: string, where: string): number {
  const value = count(fields, name, where);
  if (!Number.isSafeInteger(value)) refuse(`${where}.${name}`, `${value} is no integer`);
  return value;
}

function list(fields: Fields, name: string, where: string, limit: number): readonly Json[] {
  const value = field(fields, name);
  if (!Array.isArray(value)) refuse(`${where}.${name}`, 'is no list');
  if (value.length > limit) refuse(`${where}.${name}`, `has ${value.length} entries, more than ${limit}`);
  return value as readonly Json[];
}

export function parseHello(value: Json | undefined): Hello {
  const fields = object(value, 'hello');
  const holds = field(fields, 'holds');
  const held = holds === undefined || holds === null ? undefined : object(holds, 'hello.holds');
  return {
    version: integer(fields, 'version', 'hello'),
    systemId: text(fields, 'systemId', 'hello'),
    token: text(fields, 'token', 'hello'),
    ...(held === undefined
      ? {}
      : {
          holds: {
            epoch: text(held, 'epoch', 'hello.holds'),
            revision: integer(held, 'revision', 'hello.holds'),
          },
        }),
  };
}

export function parseApplied(value: Json | undefined): Applied {
  const fields = object(value, 'applied');
  return { revision: integer(fields, 'revision', 'applied'), elapsed: count(fields, 'elapsed', 'applied') };
}

export function parseFailed(value: Json | undefined): Failed {
  const fields = object(value, 'failed');
  return {
    revision: integer(fields, 'revision', 'failed'),
    code: text(fields, 'code', 'failed'),
    message: text(fields, 'message', 'failed', MAX_TEXT),
  };
}

function parseVif(value: Json, where: string): VifReport {
  const fields = object(value, where);
  const mac = field(fields, 'mac');
  const active = field(fields, 'active');
  if (typeof active !== 'boolean') refuse(`${where}.active`, 'is neither true nor false');
  return {
    vif: text(fields, 'vif', where),
    ...(mac === undefined || mac === null ? {} : { mac: text(fields, 'mac', where) }),
    name: text(fields, 'name', where),
    active,
  };
}

export function parseLocations(value: Json | undefined): Locations {
  const vifs = list(object(value, 'locations'), 'vifs', 'locations', MAX_VIFS);
  return { vifs: vifs.map((v, i) => parseVif(v, `locations.vifs[${i}]`)) };
}

function parsePort(value: Json, where: string): PortStatistics {
  const fields = object(value, where);
  const port = integer(fields, 'port', where);
  if (port < 1 || port > MAX_LABEL) refuse(`${where}.port`, `${port} is no label`);
  return {
    port,
    rxPackets: count(fields, 'rxPackets', where),
    rxBytes: count(fields, 'rxBytes', where),
    txPackets: count(fields, 'txPackets', where),
    txBytes: count(fields, 'txBytes', where),
    rxDropped: count(fields, 'rxDropped', where),
    txDropped: count(fields, 'txDropped', where),
  };
}

export function parseStatistics(value: Json | undefined): Statistics {
  const fields = object(value, 'statistics');
  const ports = list(fields, 'ports', 'statistics', MAX_VIFS);
  const flows = list(fields, 'flows', 'statistics', MAX_FLOW_COUNTERS);
  return {
    ports: ports.map((p, i) => parsePort(p, `statistics.ports[${i}]`)),
    flows: flows.map((f, i) => {
      const where = `statistics.flows[${i}]`;
      const entry = object(f, where);
      return {
        origin: text(entry, 'origin', where),
        stage: text(entry, 'stage', where),
        packets: count(entry, 'packets', where),
        bytes: count(entry, 'bytes', where),
      };
    }),
  };
}
