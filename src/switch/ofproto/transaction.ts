import { flattenActions } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { OFPRR_GROUP_DELETE } from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { FlowModFields } from '../../openflow/messages/flow-mod.ts';
import type { FlowStore, FlowTransaction, Requester } from './flow-store.ts';
import type { Group } from './group.ts';
import type { GroupChange, GroupModFields, GroupTable } from './group-table.ts';
import type { MeterTable } from './meter-table.ts';

/** The tables that flow and group mods change and look at. */
export interface Tables {
  readonly flows: FlowStore;
  readonly groups: GroupTable;
  readonly meters: MeterTable;
  /** Hears of each group that came or was changed. */
  groupMade?(group: Group): void;
}

const NO_METER = 0xffffffff;

/**
 * Changes of flows and groups that take effect as one, or not at all. Flows are versioned, so that none
 * is seen before the commit; groups are changed at once and put back by `revert`, which is the same to
 * everybody, because nothing is translated between the first change and the commit but by who makes them.
 */
export class TablesTransaction {
  readonly #tables: Tables;
  readonly #flows: FlowTransaction;
  readonly #changes: GroupChange[] = [];

  constructor(tables: Tables, requester: Requester) {
    this.#tables = tables;
    this.#flows = tables.flows.begin(requester);
  }

  /** Version of the flow tables in which the changes are seen. */
  get version(): number {
    return this.#flows.version;
  }

  set requester(requester: Requester) {
    this.#flows.requester = requester;
  }

  /** @throws OfError; the transaction must then be reverted. */
  flow(mod: FlowModFields): void {
    if (mod.command !== 'delete' && mod.command !== 'delete_strict')
      checkReferences(this.#tables, mod.actions);
    this.#flows.apply(mod);
  }

  /** @throws OfError; the transaction must then be reverted. */
  group(mod: GroupModFields): void {
    const { flows, groups } = this.#tables;
    const change = groups.apply(mod, flows.clock.now());
    this.#changes.push(change);
    for (const group of change.deleted) {
      for (const rule of [...flows.usersOfGroup(group.id)]) this.#flows.remove(rule, OFPRR_GROUP_DELETE);
    }
  }

  commit(): void {
    this.#flows.commit();
    const { ofproto } = this.#tables.flows;
    for (const { deleted, added, replaced } of this.#changes) {
      if (added !== null) this.#tables.groupMade?.(added);
      for (const group of [...deleted, added, replaced]) if (group !== null) ofproto.groupChanged(group.id);
    }
  }

  revert(): void {
    for (const change of this.#changes.toReversed()) this.#tables.groups.revert(change);
    this.#flows.revert();
  }
}

/** What actions refer to must be there. @throws OfError */
export function checkReferences(
  { groups, meters }: Pick<Tables, 'groups' | 'meters'>,
  actions: readonly Action[],
): void {
  for (const action of flattenActions(actions)) {
    if (action.type === 'group' && !groups.has(action.group)) {
      throw new OfError('OFPBAC_BAD_OUT_GROUP', `group ${action.group} does not exist`);
    }
    if (action.type === 'meter' && !meters.has(action.meter)) {
      throw new OfError('OFPMMFC_INVALID_METER', `meter ${action.meter} does not exist`);
    }
    if (action.type === 'controller' && action.meterId !== NO_METER && !meters.has(action.meterId)) {
      throw new OfError('OFPMMFC_INVALID_METER', `meter ${action.meterId} does not exist`);
    }
  }
}

/** Makes one change, or none. @throws OfError. */
export function changeTables(
  tables: Tables,
  requester: Requester,
  change: (transaction: TablesTransaction) => void,
): void {
  const transaction = new TablesTransaction(tables, requester);
  try {
    change(transaction);
  } catch (error) {
    transaction.revert();
    throw error;
  }
  transaction.commit();
}
