import { N_TUN_METADATA_BYTES, N_TUN_METADATA_FIELDS } from '../../../flow/layout.ts';
import type { TunnelOptionError } from '../../../flow/tun-metadata.ts';
import { OfError, type OfErrorName } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { usesOption } from '../../ofproto/option-use.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

const ERRORS: Readonly<Record<TunnelOptionError, OfErrorName>> = {
  'bad-index': 'NXTTMFC_BAD_FIELD_IDX',
  'bad-length': 'NXTTMFC_BAD_OPT_LEN',
  'already-mapped': 'NXTTMFC_ALREADY_MAPPED',
  duplicate: 'NXTTMFC_DUP_ENTRY',
  'table-full': 'NXTTMFC_TABLE_FULL',
};

export function handleTlvTableMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'tlv_table_mod'>,
): void {
  rejectIfSecondary(connection);
  const { tlvTable } = side;
  switch (message.command) {
    case 'clear':
      for (const { index } of tlvTable.options()) rejectIfUsed(side, index);
      tlvTable.clear();
      break;
    case 'delete':
      for (const { index } of message.mappings) rejectIfUsed(side, index);
      for (const { index } of message.mappings) tlvTable.remove(index);
      break;
    case 'add': {
      const added: number[] = [];
      for (const { optionClass, optionType, optionLen, index } of message.mappings) {
        const error = tlvTable.add({ optionClass, optionType, length: optionLen, index });
        if (error === null) {
          added.push(index);
          continue;
        }
        // All of a message, or nothing.
        for (const done of added) tlvTable.remove(done);
        throw new OfError(ERRORS[error], `tun_metadata${index}: ${error}`);
      }
    }
  }
  side.ofproto.tablesChanged();
}

/** A field that some flow uses keeps its place: what the flow says would come to mean something else. */
function rejectIfUsed(side: OpenFlowSwitch, index: number): void {
  const field = side.tlvTable.field(index);
  if (field === null) return;
  const { version } = side.ofproto;
  for (const table of side.flows.tables()) {
    for (const rule of table.rules(version)) {
      if (usesOption(rule, field)) {
        throw new OfError(
          'NXTTMFC_INVALID_TLV_DEL',
          `tun_metadata${index} is in use by a flow of table ${rule.table}`,
        );
      }
    }
  }
}

export function handleTlvTable(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'tlv_table_request'>,
): void {
  connection.send({
    kind: 'tlv_table_reply',
    ...connection.replyHeader(message),
    maxOptionSpace: N_TUN_METADATA_BYTES,
    maxFields: N_TUN_METADATA_FIELDS,
    mappings: side.tlvTable.options().map(({ optionClass, optionType, length, index }) => ({
      optionClass,
      optionType,
      optionLen: length,
      index,
    })),
  });
}
