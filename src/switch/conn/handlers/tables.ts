import type { Field } from '../../../flow/field.ts';
import { FIELDS } from '../../../flow/fields.ts';
import {
  OFPTMPEF_IMPORTANCE,
  OFPTMPEF_LIFETIME,
  OFPTMPEF_OTHER,
  OFPTT_ALL,
  UINT64_MAX,
} from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import { ACTION_NAMES, INSTRUCTION_NAMES } from '../../../openflow/feature-bits.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { TableConfig } from '../../../openflow/messages/table.ts';
import type { InstructionFeatures, TableFeatures } from '../../../openflow/messages/table-features.ts';
import type { FlowTable } from '../../ofproto/flow-table.ts';
import { N_TABLES } from '../../ofproto/ofproto.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

/** What is told of the size of a table that has no limit. */
const MAX_ENTRIES = 1_000_000;
/** The only order of eviction that there is. */
const EVICTION_FLAGS = OFPTMPEF_OTHER | OFPTMPEF_IMPORTANCE | OFPTMPEF_LIFETIME;
const NAME_BYTES = 32;

const hasNumber = (field: Field): boolean => field.numbers.length > 0;
const MATCHABLE = FIELDS.filter(hasNumber);
const MASKABLE = FIELDS.filter((field) => hasNumber(field) && field.maskable);
const WRITABLE = FIELDS.filter((field) => hasNumber(field) && field.writable);

function tableFeatures(side: OpenFlowSwitch, id: number): TableFeatures {
  const table = side.flows.existing(id);
  const last = id === N_TABLES - 1;
  const actions = { actions: ACTION_NAMES, setFields: WRITABLE };
  const features: InstructionFeatures = {
    instructions: last ? INSTRUCTION_NAMES.filter((name) => name !== 'goto_table') : INSTRUCTION_NAMES,
    nextTables: Array.from({ length: N_TABLES - 1 - id }, (_, i) => id + 1 + i),
    write: actions,
    apply: actions,
  };
  return {
    command: 'replace',
    table: id,
    name: table?.name ?? '',
    metadataMatch: UINT64_MAX,
    metadataWrite: UINT64_MAX,
    maxEntries: Math.min(table?.limit ?? MAX_ENTRIES, MAX_ENTRIES),
    miss: table?.miss ?? 'default',
    supportsEviction: false,
    supportsVacancyEvents: false,
    anyProperties: true,
    nonmiss: features,
    missFlow: features,
    match: MATCHABLE,
    wildcard: MATCHABLE,
    mask: MASKABLE,
  };
}

export function handleTableStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'table_stats_request'>,
): void {
  const tables = Array.from({ length: N_TABLES }, (_, id) => {
    const table = side.flows.existing(id);
    const matched = table?.matched ?? 0;
    return {
      table: id,
      activeCount: table === undefined ? 0 : table.count - table.hidden,
      lookupCount: BigInt(matched + (table?.missed ?? 0)),
      matchedCount: BigInt(matched),
      features: connection.version < 4 ? tableFeatures(side, id) : null,
    };
  });
  connection.send({
    kind: 'table_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    tables,
  });
}

// --- Features -----------------------------------------------------------------------------------------

export function handleTableFeatures(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'table_features_request'>,
): void {
  if (message.tables.length > 0) {
    rejectIfSecondary(connection);
    changeFeatures(side, message.tables);
  }
  connection.send({
    kind: 'table_features_reply',
    ...connection.replyHeader(message),
    more: false,
    tables: Array.from({ length: N_TABLES }, (_, id) => tableFeatures(side, id)),
  });
}

/**
 * A controller may name tables, and claim fewer features than there are; the tables themselves it can
 * neither add nor take away.
 */
function changeFeatures(side: OpenFlowSwitch, wanted: readonly TableFeatures[]): void {
  const eperm = (text: string): never => {
    throw new OfError('OFPTFFC_EPERM', text);
  };
  const { command } = wanted[0];
  const byId = new Map<number, TableFeatures>();
  for (const features of wanted) {
    if (byId.has(features.table)) {
      throw new OfError('NXTFFC_DUP_TABLE', `table ${features.table} is there twice`);
    }
    byId.set(features.table, features);
  }
  if (byId.has(N_TABLES)) eperm(`table ${N_TABLES} is the switch's own`);
  if (command === 'enable' || command === 'disable') eperm('tables can be neither enabled nor disabled');
  if (command === 'replace') {
    for (let id = 0; id < N_TABLES; id++) if (!byId.has(id)) eperm(`table ${id} cannot be taken away`);
  }
  for (const [id, features] of byId) {
    const old = tableFeatures(side, id);
    if (features.maxEntries !== old.maxEntries) eperm(`the size of table ${id} cannot be changed`);
    if (!mayName(side.flows.existing(id), features.name)) {
      eperm(`table ${id} has its name from the database`);
    }
    if (features.anyProperties && !isSubset(features, old)) eperm(`table ${id} can do no more than it can`);
  }
  for (const [id, { name }] of byId) setName(side, id, name);
}

function mayName(table: FlowTable | undefined, name: string): boolean {
  return table?.nameSource !== 'database' || table.name === name.slice(0, NAME_BYTES);
}

function setName(side: OpenFlowSwitch, id: number, name: string): void {
  if (side.flows.existing(id) === undefined && name === '') return;
  const table = side.flows.table(id);
  if (table.nameSource === 'database') return;
  table.name = name;
  table.nameSource = name === '' ? 'none' : 'openflow';
}

function isSubset(a: TableFeatures, b: TableFeatures): boolean {
  const within = <T>(x: readonly T[], y: readonly T[]): boolean => {
    const set = new Set(y);
    return x.every((item) => set.has(item));
  };
  const flows = (x: InstructionFeatures, y: InstructionFeatures): boolean =>
    within(x.instructions, y.instructions) &&
    within(x.nextTables, y.nextTables) &&
    within(x.write.actions, y.write.actions) &&
    within(x.write.setFields, y.write.setFields) &&
    within(x.apply.actions, y.apply.actions) &&
    within(x.apply.setFields, y.apply.setFields);
  return (
    flows(a.nonmiss, b.nonmiss) &&
    flows(a.missFlow, b.missFlow) &&
    within(a.match, b.match) &&
    within(a.wildcard, b.wildcard) &&
    within(a.mask, b.mask)
  );
}

// --- Description and configuration ----------------------------------------------------------------------

/** How a table is configured, as OpenFlow 1.4 tells it. */
export function tableDesc(side: OpenFlowSwitch, id: number): TableConfig {
  const table = side.flows.existing(id);
  return {
    table: id,
    eviction: table?.evictByOpenFlow ?? false,
    evictionFlags: EVICTION_FLAGS,
    vacancyEvents: table !== undefined && table.vacancyEvent !== null,
    vacancy: { down: table?.vacancyDown ?? 0, up: table?.vacancyUp ?? 0, current: table?.vacancy ?? 100 },
  };
}

export function handleTableDesc(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'table_desc_request'>,
): void {
  connection.send({
    kind: 'table_desc_reply',
    ...connection.replyHeader(message),
    more: false,
    tables: Array.from({ length: N_TABLES }, (_, id) => tableDesc(side, id)),
  });
}

export function handleTableMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'table_mod'>,
): void {
  rejectIfSecondary(connection);
  const { table, evictionFlags } = message;
  if (table !== OFPTT_ALL && table >= N_TABLES) {
    throw new OfError('OFPTMFC_BAD_TABLE', `table ${table}: tables are 0 to ${N_TABLES - 1}`);
  }
  if (evictionFlags !== null && evictionFlags !== EVICTION_FLAGS) {
    throw new OfError(
      'OFPTMFC_BAD_CONFIG',
      `eviction flags 0x${evictionFlags.toString(16)} cannot be changed`,
    );
  }
  if (table !== OFPTT_ALL) {
    side.flows.table(table).change(message);
  } else {
    for (let id = 0; id < N_TABLES; id++) side.flows.table(id).change(message);
  }
  side.ofproto.tablesChanged();
}
