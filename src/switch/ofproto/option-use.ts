import type { Field } from '../../flow/field.ts';
import { tunMetadataPresent } from '../../flow/field-access.ts';
import type { Rule } from './rule.ts';

/** Whether a flow matches on a tunnel option's field, or reads or writes it in its actions. */
export function usesOption(rule: Rule, field: Field): boolean {
  return tunMetadataPresent(rule.expandMatch().mask, field) || names(rule.actions, field.name);
}

/** Whether a field of that name is somewhere in a tree of actions. */
function names(value: unknown, name: string): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  if ('variableLength' in value) return 'name' in value && value.name === name;
  return Object.values(value).some((part) => names(part, name));
}
